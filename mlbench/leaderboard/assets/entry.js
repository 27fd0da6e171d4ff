"use strict";
(() => {
  const form = document.querySelector("form.controls");
  const entry = board.entries[document.querySelector("main").dataset.entry];
  const scaled = (value) => (value === null ? null : value / 10000);

  // A table with a bar in each cell: the number, its interval as a line on the bar, and below in words.
  const bars = (place, title, languages, columns) => {
    const head = board.make("tr", {}, board.make("th", { scope: "col" }, "query"), ...columns.map(({ name, note }) => board.make("th", { scope: "col" }, name, ...(note ? [board.make("small", {}, note)] : []))));
    const rows = languages.map((language, row) => board.make("tr", {}, board.make("th", { scope: "row" }, language), ...columns.map(({ values, low = [], high = [], most, write }) => {
      const value = values[row] ?? null;
      const cell = board.make("td", {}, write(value));
      if (value === null) return cell;
      const picture = board.draw("svg", { class: "bar", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" }, board.draw("rect", { width: (100 * value) / most, height: 8 }));
      if ((low[row] ?? null) !== null) {
        picture.append(board.draw("rect", { class: "limits", x: (100 * low[row]) / most, y: 3, width: (100 * (high[row] - low[row])) / most, height: 2 }));
        cell.append(board.make("small", {}, `${write(low[row])}–${write(high[row])}`));
      }
      cell.append(picture);
      return cell;
    })));
    place.replaceChildren(board.make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": title },
      board.make("table", { class: "bars" }, board.make("caption", {}, title), board.make("thead", {}, head), board.make("tbody", {}, ...rows))));
  };

  // The values of each query language: as they were measured, or for other measures as the grid tells them.
  const rowsOf = (data, languages, grid) => {
    if (!grid) return Object.fromEntries(Object.entries(data.rows).filter(([kind]) => kind in board.kinds).map(([kind, lists]) => [kind, lists.map((list) => list.map(scaled))]));
    const size = languages.length + 1;
    const mean = (values) => (values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null);
    const row = (index) => grid.slice(index * size, index * size + size).map(scaled);
    const each = (pick) => [languages.map((_, index) => pick(row(index), index))];
    return {
      monolingual: each((cells, index) => cells[index]),
      cross_lingual: each((cells, index) => mean(cells.slice(0, -1).filter((value, column) => column !== index && value !== null))),
      multilingual: each((cells) => cells.at(-1)),
    };
  };

  const show = (section, measure) => {
    const data = entry.tasks[section.dataset.task];
    const { languages, measures = [], queries = [] } = data.grids ? board.tasks[section.dataset.task] : data;
    const shown = data.grids ? (measures.includes(measure) ? measure : measures[0]) : data.measure;
    const name = board.title(shown);
    if (data.grids) {
      const grid = data.grids[shown];
      const values = grid.map(scaled);
      const limits = (cell) => (shown === measures[0] && data.low[cell] !== null ? `, interval ${board.decimal(scaled(data.low[cell]))} to ${board.decimal(scaled(data.high[cell]))}` : "");
      const picture = section.querySelector("[data-figure=map]");
      board.heatMap(picture, {
        title: `${name} on ${section.dataset.task}`,
        languages,
        scale: board.sequential(values),
        value: (cell) => values[cell],
        text: (value, full) => board.decimal(value, full ? 3 : 2).replace(/^1\.00$/, "1.0"),
        words: (cell, query, documents) => (values[cell] === null
          ? `${query} queries have no relevant document in ${documents}`
          : `${query} queries, ${documents === "pool" ? "documents of all languages" : `${documents} documents`}: ${name} ${board.decimal(values[cell])}${limits(cell)}; ${queries[cell].toLocaleString("en")} queries`),
      });
    }
    const found = rowsOf(data, languages, data.grids && shown !== measures[0] ? data.grids[shown] : null);
    const columns = Object.entries(found).filter(([, [values]]) => values.some((value) => value !== null)).map(([kind, [values, low, high]]) => ({ name: `${name} ${board.kinds[kind]}`, values, low, high, most: 1, write: board.decimal }));
    for (const column of columns) column.write = (value) => board.decimal(value);
    if (data.rows.rank_distance) {
      const values = data.rows.rank_distance[0];
      columns.push({ name: "rank distance", note: "lower is better", values, most: Math.max(...values), write: board.distance });
    }
    const place = section.querySelector("[data-figure=rows]");
    if (columns.length) bars(place, `${name} on ${section.dataset.task} by query language`, languages, columns);
    for (const heading of section.querySelectorAll("[data-measure]")) heading.textContent = name;
    for (const figure of section.querySelectorAll(".drawn")) figure.hidden = !figure.querySelector("[data-figure]").hasChildNodes();
  };

  board.follow(form, (state) => {
    const task = state.task || form.elements.task.options[0].value;
    for (const section of document.querySelectorAll("section[data-task]")) {
      section.hidden = section.dataset.task !== task;
      if (!section.hidden) show(section, state.measure || form.elements.measure.options[0].value);
    }
  });
})();
