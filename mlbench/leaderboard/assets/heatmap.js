"use strict";
// A grid of coloured cells, a row for each query language and a column for each document language and the pool, or one
// for each of the `columns` that are given. The cell under pointer, finger or arrow keys is told in words below; the
// same numbers stand in a table.
//
// title, axis words and `legend` are texts; `value(cell)` gives a number or null, `text(value)` writes it short and
// `words(cell)` in full; `marked(cell)` puts a dot on it. Cells are numbered row by row.
board.heatMap = (place, { title, languages, columns: own, scale, value, text, words, marked = () => false, legend = "" }) => {
  const columns = own || [...languages, "pool"];
  const [size, left, top, gap] = [42, 62, 48, 8];
  const wide = own ? 92 : size;
  const x = (column) => left + column * wide + (!own && column === languages.length ? gap : 0);
  const y = (row) => top + row * size;
  const steps = 24;
  // The scale and its legend must fit below a map of few languages.
  const width = Math.max(x(columns.length - 1) + wide + 2, left + steps * 8 + (legend ? 34 + 9 * legend.length : 10));
  const height = y(languages.length) + 44;
  const label = (words, at, more = {}) => board.draw("text", { x: at[0], y: at[1], class: "label", ...more }, words);

  const svg = board.draw("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true", class: "map" });
  svg.append(label(own ? "direction" : "documents in", [left, 15], { class: "label soft" }));
  svg.append(label(own ? "captions in" : "queries in", [0, 0], { class: "label soft", transform: `translate(14 ${top + size * 1.75}) rotate(-90)` }));
  columns.forEach((name, column) => svg.append(label(name, [x(column) + wide / 2, top - 8], { "text-anchor": "middle" })));
  languages.forEach((name, row) => svg.append(label(name, [left - 8, y(row) + size / 2 + 5], { "text-anchor": "end" })));

  const written = languages.flatMap((_, row) => columns.map((__, column) => {
    const here = value(row * columns.length + column);
    return here === null ? "·" : text(here);
  }));
  // One size for all, so that no number seems to matter more.
  const long = written.some((each) => each.length > 3) ? "long" : "";
  const cells = languages.flatMap((_, row) => columns.map((__, column) => {
    const index = row * columns.length + column;
    const here = value(index);
    const at = { x: x(column), y: y(row) };
    const group = board.draw("g", { "data-cell": index });
    group.append(board.draw("rect", { ...at, width: wide - 1, height: size - 1, class: here === null ? "void" : "", fill: here === null ? "none" : scale.colour(here) }));
    group.append(board.draw("text", { x: at.x + wide / 2, y: at.y + size / 2 + 5, "text-anchor": "middle", ...(here === null ? { class: "label" } : { class: long, fill: scale.ink(here) }) }, written[index]));
    if (marked(index)) group.append(board.draw("circle", { cx: at.x + wide - 8, cy: at.y + 7, r: 3.5, fill: scale.ink(here) }));
    return group;
  }));
  const cursor = board.draw("rect", { width: wide - 1, height: size - 1, class: "cursor", visibility: "hidden" });
  svg.append(...cells, cursor);

  const step = (scale.high - scale.low) / steps;
  for (let each = 0; each < steps; each += 1) {
    svg.append(board.draw("rect", { x: left + each * 8, y: height - 30, width: 8.5, height: 10, fill: scale.colour(scale.low + (each + 0.5) * step) }));
  }
  svg.append(label(text(scale.low), [left, height - 5], { "text-anchor": "start" }));
  svg.append(label(text(scale.high), [left + steps * 8, height - 5], { "text-anchor": "end" }));
  if (legend) {
    svg.append(board.draw("circle", { cx: left + steps * 8 + 24, cy: height - 25, r: 3.5, class: "dot" }));
    svg.append(label(legend, [left + steps * 8 + 34, height - 20]));
  }

  const readout = board.make("p", { class: "readout", role: "status" }, "Point at a cell, tap it, or move with the arrow keys.");
  const widget = board.make("div", { class: "widget", role: "application", tabindex: "0", "aria-label": `${title}: heat map; arrow keys move from cell to cell` }, svg);
  let current = -1;
  const select = (index) => {
    current = index;
    const [row, column] = [Math.floor(index / columns.length), index % columns.length];
    for (const [name, position] of [["x", x(column)], ["y", y(row)]]) cursor.setAttribute(name, position);
    cursor.setAttribute("visibility", "visible");
    readout.textContent = words(index, languages[row], columns[column]);
  };
  const point = (event) => {
    const cell = event.target.closest("[data-cell]");
    if (cell) select(Number(cell.dataset.cell));
  };
  widget.addEventListener("pointermove", point);
  widget.addEventListener("pointerdown", point);
  widget.addEventListener("focus", () => select(Math.max(0, current)));
  widget.addEventListener("keydown", (event) => {
    const [row, column] = [Math.floor(Math.max(0, current) / columns.length), Math.max(0, current) % columns.length];
    const moved = {
      ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1],
      Home: [row, 0], End: [row, columns.length - 1],
    }[event.key];
    if (!moved) return;
    event.preventDefault();
    const [down, across] = [Math.min(languages.length - 1, Math.max(0, moved[0])), Math.min(columns.length - 1, Math.max(0, moved[1]))];
    select(down * columns.length + across);
  });

  const axes = own ? "language of the captions (rows) and direction (columns)" : "query language (rows) and document language (columns)";
  const rows = languages.map((name, row) => [name, ...columns.map((_, column) => {
    const index = row * columns.length + column;
    const here = value(index);
    return here === null ? "·" : text(here, true) + (marked(index) ? " *" : "");
  })]);
  const details = board.make("details", {}, board.make("summary", {}, "The same numbers as a table"),
    board.table(`${title}, by ${axes}`, [own ? "captions" : "query", ...columns], rows));
  place.replaceChildren(widget, readout, details);
};

// The same for many languages, which `about` says what is known of: a map that is zoomed, ordered and searched. `low`
// and `high` are the ends of intervals, empty where they are not known, and `marked` says which cells are.
board.languageMap = (place, { title, name, about, scale, values, low = [], high = [], marked = null, signed = false, legend = "" }) => {
  const size = about.languages.length;
  const pairs = (grid) => grid.filter((_, cell) => cell % (size + 1) < size);
  const pool = values.filter((_, cell) => cell % (size + 1) === size);
  const known = low.length ? { low: pairs(low), high: pairs(high) } : {};
  const marks = marked ? { marked: pairs(values.map((_, cell) => marked(cell))).flatMap((each, cell) => (each ? [cell] : [])) } : {};
  const layer = { name, signed, scale: [scale.low, scale.high], stops: scale.stops, values: pairs(values), pool, ...known, ...marks };
  languageMap(place, { title, file: title.replace(/[^\p{L}\p{N}]+/gu, "-"), unit: 1, legend, ...about, layers: [layer] });
};
