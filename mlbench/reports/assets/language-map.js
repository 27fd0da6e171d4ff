"use strict";
// A map of one number for every pair of many languages: a square of colours with a row for each query language and a
// column for each document language. Both are in one order, which groups languages and sorts them; the map is zoomed
// until tags and numbers can be read. A click, or Enter, opens one language as a list, and the same numbers stand in a
// table and can be saved as CSV.
//
// data.languages are [tag, English name, own name, level of resources, script, family]; data.groupings and data.levels
// name the last three and the order of the first of them. Each of data.layers has a name, values row by row (null for
// none) in units of 1 / data.unit, the ends and colours of its scale, and where there are such: the ends of intervals
// as low and high, values of the pool, the places of values that are marked, and whether it is signed.
const languageMap = (place, data) => {
  const { title, unit, languages, layers, groupings, levels, legend } = data;
  const size = languages.length;
  const [SMALLEST_TAGS, SMALLEST_NUMBERS, LARGEST] = [10, 30, 44];
  const state = { layer: 0, group: groupings.at(-1), sort: "mean", cell: 0, row: 0, column: 1, found: [], open: -1, by: [1, -1] };
  let order = [], groups = [], picture = document.createElement("canvas");

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  const layer = () => layers[state.layer];
  const decimal = (value, digits = 3, signed = layer().signed) => {
    if (value === null || value === undefined) return "·";
    const text = Math.abs(value / unit).toFixed(digits).replace(/^0/, "");
    return /[1-9]/.test(text) ? (value < 0 ? "-" : signed ? "+" : "") + text : text;
  };
  const value = (row, column, of = layer()) => of.values[row * size + column];
  const named = (index) => (languages[index][1] === languages[index][0] ? languages[index][0] : `${languages[index][1]} (${languages[index][0]})`);
  const limits = (index, of = layer()) => ((of.low?.[index] ?? null) === null ? "" : ` [${decimal(of.low[index])}, ${decimal(of.high[index])}]`);

  // The colours of a scale, and black or white on each, whichever is easier to read.
  const channels = (number) => {
    const { scale: [low, high], stops } = layer();
    const at = Math.min(1, Math.max(0, (number / unit - low) / (high - low))) * (stops.length - 1);
    const below = Math.min(Math.floor(at), stops.length - 2);
    return stops[below].map((from, channel) => Math.round(from + (stops[below + 1][channel] - from) * (at - below)));
  };
  const linear = (channel) => (channel <= 10 ? channel / 3294.6 : ((channel / 255 + 0.055) / 1.055) ** 2.4);
  const ink = (number) => {
    const [red, green, blue] = channels(number).map(linear);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000" : "#fff";
  };

  // The mean of a language with all others, as query and as document language, of the layer that is shown.
  const means = () => languages.map((_, one) => {
    let [sum, count] = [0, 0];
    for (let other = 0; other < size; other += 1) {
      for (const each of other === one ? [] : [value(one, other), value(other, one)]) {
        if (each !== null) [sum, count] = [sum + each, count + 1];
      }
    }
    return count ? sum / count : null;
  });

  const arrange = () => {
    const field = 3 + groupings.indexOf(state.group);
    const group = (index) => (state.group ? languages[index][field] : "");
    const members = {};
    languages.forEach((_, index) => { members[group(index)] = (members[group(index)] || 0) + 1; });
    const rank = (name) => (state.group === groupings[0] ? levels.indexOf(name) : -members[name]);
    const mean = state.sort === "mean" ? means() : [];
    const by = {
      mean: (a, b) => (mean[b] ?? -Infinity) - (mean[a] ?? -Infinity),
      name: (a, b) => languages[a][1].localeCompare(languages[b][1], "en"),
      tag: () => 0,
    }[state.sort];
    order = languages.map((_, index) => index).sort((a, b) => rank(group(a)) - rank(group(b)) || group(a).localeCompare(group(b), "en") || by(a, b) || (languages[a][0] < languages[b][0] ? -1 : 1));
    groups = [];
    order.forEach((index, at) => {
      const last = groups.at(-1);
      if (last?.name === group(index)) last.end = at + 1;
      else groups.push({ name: group(index), start: at, end: at + 1 });
    });
    paint();
  };

  const paint = () => {
    picture.width = picture.height = size;
    const context = picture.getContext("2d");
    const image = context.createImageData(size, size);
    order.forEach((row, y) => order.forEach((column, x) => {
      const here = value(row, column);
      if (here !== null) image.data.set([...channels(here), 255], 4 * (y * size + x));
    }));
    context.putImageData(image, 0, 0);
  };

  // The parts of the page.
  const choice = (label, name, options) => {
    const select = make("select", { name }, ...options.map(([key, text]) => make("option", { value: key }, text)));
    return [make("label", {}, `${label} `, select), select];
  };
  const [measures, measure] = choice("Shown", "layer", layers.map((each, at) => [at, each.name]));
  const [grouped, grouping] = choice("Group by", "group", [["", "nothing"], ...groupings.map((name) => [name, name])]);
  const [sorted, sorting] = choice("Sort by", "sort", [["mean", "mean"], ["name", "name"], ["tag", "tag"]]);
  const search = make("input", { type: "search", autocomplete: "off", spellcheck: "false" });
  const button = (text, words, act) => {
    const made = make("button", { type: "button", "aria-label": words, title: words }, text);
    made.addEventListener("click", act);
    return made;
  };
  const canvas = make("canvas", { "aria-hidden": "true" });
  const space = make("div", {}, canvas);
  const view = make("div", { class: "view", tabindex: "0", role: "application", "aria-label": `${title}. Arrow keys move from pair to pair, plus and minus zoom, Enter opens a language.` }, space);
  const readout = make("p", { class: "readout", role: "status" }, "Point at a pair, tap it, or move with the arrow keys.");
  const hits = make("p", { class: "hits", role: "status" });
  const scale = make("div", { class: "scale", "aria-hidden": "true" });
  const list = make("section", { class: "list", hidden: "", "aria-label": "One language" });
  const form = make("form", { class: "controls", "aria-label": "What the map shows" },
    ...(layers.length > 1 ? [measures] : []), grouped, sorted, make("label", {}, "Find a language ", search),
    make("span", { class: "zoom" },
      button("−", "Zoom out", () => zoom(state.cell / 1.6)), button("+", "Zoom in", () => zoom(state.cell * 1.6)), button("Whole map", "Show the whole map", () => zoom(0))));

  // Where things stand, in pixels: room for names at the left and above, then the cells.
  const room = () => (view.clientWidth < 600 ? [76, 76] : [112, 112]);
  const tallest = () => Math.max(240, Math.min(window.innerHeight * 0.85, 1000));
  const whole = () => {
    const [left, top] = room();
    return Math.max(1, Math.min((view.clientWidth - left) / size, (tallest() - top) / size));
  };
  const fit = () => {
    const [left, top] = room();
    space.style.width = `${left + state.cell * size}px`;
    space.style.height = `${top + state.cell * size}px`;
    view.style.height = `${Math.min(tallest(), top + state.cell * size + 2)}px`;
    draw();
  };
  const zoom = (cell, at = null) => {
    const [left, top] = room();
    const before = state.cell || 1;
    const [x, y] = at || [left + Math.min(view.clientWidth - left, before * size) / 2, top + Math.min(view.clientHeight - top, before * size) / 2];
    const [column, row] = [(view.scrollLeft + x - left) / before, (view.scrollTop + y - top) / before];
    state.cell = Math.min(LARGEST, Math.max(whole(), cell));
    state.fits = state.cell === whole();
    fit();
    view.scrollTo(column * state.cell - (x - left), row * state.cell - (y - top));
    draw();
  };

  const draw = () => {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [view.clientWidth, view.clientHeight];
    const [left, top] = room();
    const style = getComputedStyle(view);
    const colour = (name) => style.getPropertyValue(name).trim();
    const [paper, dark, soft, link] = ["--paper", "--ink", "--soft", "--link"].map(colour);
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
      [canvas.style.width, canvas.style.height] = [`${width}px`, `${height}px`];
    }
    const { cell } = state;
    const [x, y] = [(at) => left + at * cell - view.scrollLeft, (at) => top + at * cell - view.scrollTop];
    const first = (scroll) => Math.max(0, Math.floor(scroll / cell));
    const last = (scroll, length) => Math.min(size, Math.ceil((scroll + length) / cell));
    const rows = [first(view.scrollTop), last(view.scrollTop, height - top)];
    const columns = [first(view.scrollLeft), last(view.scrollLeft, width - left)];
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = paper;
    context.fillRect(0, 0, width, height);
    context.imageSmoothingEnabled = false;

    context.save();
    context.beginPath();
    context.rect(left, top, width - left, height - top);
    context.clip();
    context.drawImage(picture, x(0), y(0), cell * size, cell * size);
    if (state.found.length) {
      context.globalAlpha = 0.75;
      context.fillRect(left, top, cell * size, cell * size);
      context.globalAlpha = 1;
      for (const at of state.found.map((index) => order.indexOf(index))) {
        context.drawImage(picture, 0, at, size, 1, x(0), y(at), cell * size, cell);
        context.drawImage(picture, at, 0, 1, size, x(at), y(0), cell, cell * size);
      }
    }
    context.textAlign = "center";
    context.textBaseline = "middle";
    if (cell >= SMALLEST_NUMBERS) {
      const marked = new Set(layer().marked || []);
      context.font = `${Math.floor(cell * 0.36)}px system-ui, sans-serif`;
      for (let row = rows[0]; row < rows[1]; row += 1) {
        for (let column = columns[0]; column < columns[1]; column += 1) {
          const index = order[row] * size + order[column];
          const here = layer().values[index];
          if (here === null) continue;
          context.fillStyle = ink(here);
          context.fillText(decimal(here, layer().signed ? 3 : 2) + (marked.has(index) ? "*" : ""), x(column + 0.5), y(row + 0.5));
        }
      }
    }
    context.strokeStyle = dark;
    context.lineWidth = 1;
    if (groups.length > 1) {
      context.beginPath();
      for (const [at, { start, end }] of groups.entries()) {
        // Lines between many small groups would hide them.
        const before = groups[at - 1];
        if (!before || Math.max(end - start, before.end - before.start) * cell < 8) continue;
        context.moveTo(x(start), top); context.lineTo(x(start), y(size));
        context.moveTo(left, y(start)); context.lineTo(x(size), y(start));
      }
      context.stroke();
    }
    if (document.activeElement === view || state.pointed) {
      context.lineWidth = 2;
      context.strokeRect(x(state.column) - 1, y(state.row) - 1, cell + 2, cell + 2);
      context.strokeStyle = paper;
      context.strokeRect(x(state.column) - 3, y(state.row) - 3, cell + 6, cell + 6);
    }
    context.restore();

    // Names: of languages where they find room, else of groups; what is too long ends in dots.
    const cut = (words, most) => {
      if (context.measureText(words).width <= most) return words;
      let kept = words.length - 1;
      while (kept > 1 && context.measureText(`${words.slice(0, kept)}…`).width > most) kept -= 1;
      return `${words.slice(0, kept)}…`;
    };
    const name = (words, at, length, row, strong) => {
      context.save();
      context.beginPath();
      if (row) context.rect(0, Math.max(top, y(at)), left - 4, length);
      else context.rect(Math.max(left, x(at)), 0, length, top - 4);
      context.clip();
      if (row) context.translate(left - 6, y(at) + length / 2);
      else { context.translate(x(at) + length / 2, top - 6); context.rotate(-Math.PI / 2); }
      context.textAlign = row ? "right" : "left";
      context.textBaseline = "middle";
      context.fillStyle = strong ? link : dark;
      context.fillText(cut(words, (row ? left : top) - 10), 0, 0);
      context.restore();
    };
    if (cell >= SMALLEST_TAGS) {
      context.font = `${Math.min(13, Math.floor(cell * 0.9))}px system-ui, sans-serif`;
      const called = (at) => (cell >= 20 && left > 60 ? languages[order[at]][1] : languages[order[at]][0]);
      for (let at = rows[0]; at < rows[1]; at += 1) name(called(at), at, cell, true, state.found.includes(order[at]) || at === state.row && state.pointed);
      for (let at = columns[0]; at < columns[1]; at += 1) name(called(at), at, cell, false, state.found.includes(order[at]) || at === state.column && state.pointed);
    } else {
      context.font = "12px system-ui, sans-serif";
      for (const { name: words, start, end } of groups) {
        if ((end - start) * cell < 12) continue;
        name(words, start, (end - start) * cell, true);
        name(words, start, (end - start) * cell, false);
      }
    }
    context.fillStyle = soft;
    context.font = "12px system-ui, sans-serif";
    context.textAlign = "left";
    context.fillText("documents →", 2, 12);
    context.fillText("queries ↓", 2, 28);
  };

  const tell = () => {
    const [row, column] = [order[state.row], order[state.column]];
    const here = value(row, column);
    const told = here === null ? (row === column ? "no setting" : "no value") : `${layer().name} ${decimal(here)}${limits(row * size + column)}`;
    const sure = (layer().marked || []).includes(row * size + column) ? ", significant" : "";
    const pool = layer().pool?.[row] ?? null;
    readout.textContent = `${named(row)} queries, ${named(column)} documents: ${told}${sure}${pool === null ? "" : `; pool ${decimal(pool)}`}`;
  };
  const select = (row, column, scroll = false) => {
    state.row = Math.min(size - 1, Math.max(0, row));
    state.column = Math.min(size - 1, Math.max(0, column));
    if (scroll) {
      const [left, top] = room();
      const into = (at, from, length) => Math.min(at * state.cell, Math.max(from, (at + 1) * state.cell - length));
      view.scrollTo(into(state.column, view.scrollLeft, view.clientWidth - left), into(state.row, view.scrollTop, view.clientHeight - top));
    }
    tell();
    draw();
  };
  const pointed = (event) => {
    const [left, top] = room();
    const box = view.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const at = (position, start, scroll) => (position < start ? -1 : Math.floor((position - start + scroll) / state.cell));
    const [row, column] = [at(y, top, view.scrollTop), at(x, left, view.scrollLeft)];
    return row < size && column < size && (row >= 0 || column >= 0) ? [row, column] : null;
  };

  // One language as a list: its values with all others, in both roles.
  const show = (index) => {
    state.open = index;
    list.hidden = index < 0;
    if (index < 0) return;
    const [tag, , own, ...about] = languages[index];
    const rows = languages.map((_, other) => [other, value(index, other), value(other, index)]).filter(([other]) => other !== index || value(index, index) !== null);
    const [by, way] = state.by;
    const called = ([other]) => languages[other][1];
    // What has no value comes last, whatever the order.
    rows.sort((a, b) => (by ? (a[by] === null) - (b[by] === null) || way * (a[by] - b[by]) : way * called(a).localeCompare(called(b), "en")));
    const heads = ["other language", `${tag} queries`, `${tag} documents`].map((text, at) => {
      const head = make("th", { scope: "col", "aria-sort": at !== by ? "none" : way < 0 ? "descending" : "ascending" }, button(text, `Sort by ${text}`, () => {
        state.by = [at, at === by ? -way : at ? -1 : 1];
        show(index);
      }));
      return head;
    });
    const head = make("h4", { tabindex: "-1" }, named(index));
    const bar = (cell) => {
      const made = make("td", {}, decimal(cell));
      if (cell !== null) { made.style.background = `rgb(${channels(cell).join(",")})`; made.style.color = ink(cell); }
      return made;
    };
    const pool = layer().pool?.[index] ?? null;
    list.replaceChildren(
      button("Close", "Close the list", () => { show(-1); view.focus(); }),
      head,
      make("p", { class: "soft" }, [own === languages[index][1] ? "" : own, ...about.map((each, at) => `${groupings[at]}: ${each}`), pool === null ? "" : `${layer().name} in the pool: ${decimal(pool)}`].filter(Boolean).join("; ")),
      make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": `${layer().name} of ${named(index)} with every other language` },
        make("table", {}, make("caption", {}, `${layer().name} of ${named(index)} with every other language`),
          make("thead", {}, make("tr", {}, ...heads, ...groupings.map((name) => make("th", { scope: "col", class: "left" }, name)))),
          make("tbody", {}, ...rows.map(([other, as, of]) => make("tr", {}, make("th", { scope: "row" }, named(other)), bar(as), bar(of), ...languages[other].slice(3).map((each) => make("td", { class: "left" }, each))))))));
    return head;
  };

  // Words without accents and case, in which a language is looked for.
  const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  const find = () => {
    const asked = plain(search.value.trim());
    const matches = languages.map((_, index) => index).filter((index) => languages[index].slice(0, 3).some((text) => plain(text).includes(asked)));
    const exact = matches.filter((index) => languages[index].slice(0, 3).some((text) => plain(text) === asked));
    state.found = asked ? [...exact, ...matches.filter((index) => !exact.includes(index))] : [];
    const most = 8;
    hits.replaceChildren(...(!asked ? [] : state.found.length ? state.found.slice(0, most).map((index) => button(named(index), `Open ${named(index)}`, () => show(index).focus())) : ["No such language."]),
      ...(state.found.length > most ? [` and ${state.found.length - most} more`] : []));
    draw();
  };

  const table = make("details", { class: "numbers" }, make("summary", {}, "The same numbers as a table"));
  const fill = () => {
    if (!table.open) return;
    table.querySelector(".scroll")?.remove();
    table.append(make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": title },
      make("table", {}, make("caption", {}, `${layer().name}: queries (rows) by documents (columns)`),
        make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "queries"), ...order.map((index) => make("th", { scope: "col", title: languages[index][1] }, languages[index][0])))),
        make("tbody", {}, ...order.map((row) => make("tr", {}, make("th", { scope: "row", title: languages[row][1] }, languages[row][0]), ...order.map((column) => make("td", {}, decimal(value(row, column))))))))));
  };
  const save = () => {
    const quote = (text) => `"${String(text).replaceAll('"', '""')}"`;
    const lines = [["query_language", "document_language", ...layers.map((each) => each.name)].map(quote).join(",")];
    const number = (each) => (each === null ? "" : each / unit);
    languages.forEach(([query], row) => {
      languages.forEach(([document_], column) => {
        if (layers.some((each) => value(row, column, each) !== null)) lines.push([quote(query), quote(document_), ...layers.map((each) => number(value(row, column, each)))].join(","));
      });
      if (layers.some((each) => each.pool)) lines.push([quote(query), quote("pool"), ...layers.map((each) => (each.pool ? number(each.pool[row]) : ""))].join(","));
    });
    const address = URL.createObjectURL(new Blob([`${lines.join("\n")}\n`], { type: "text/csv" }));
    make("a", { href: address, download: `${data.file}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  };

  const update = () => {
    const { scale: [low, high], stops, name } = layer();
    const bar = make("span", { class: "bar" });
    bar.style.background = `linear-gradient(to right, ${stops.map((stop) => `rgb(${stop.join(",")})`).join(",")})`;
    const end = (number) => decimal(number * unit, Number.isInteger(Math.round(number * 1e6) / 1e4) ? 2 : 3);
    scale.replaceChildren(`${name} ${end(low)}`, bar, end(high), ...(legend ? [make("span", { class: "soft" }, legend)] : []));
    arrange();
    fill();
    if (state.open >= 0) show(state.open);
    tell();
    draw();
  };

  grouping.value = state.group;
  measure.addEventListener("change", () => { state.layer = Number(measure.value); update(); });
  grouping.addEventListener("change", () => { state.group = grouping.value; update(); });
  sorting.addEventListener("change", () => { state.sort = sorting.value; update(); });
  search.addEventListener("input", find);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (state.found.length) show(state.found[0]).focus();
  });
  table.addEventListener("toggle", fill);
  view.addEventListener("scroll", draw);
  view.addEventListener("pointermove", (event) => {
    const at = pointed(event);
    state.pointed = Boolean(at);
    if (at) select(Math.max(0, at[0]), Math.max(0, at[1]));
  });
  view.addEventListener("pointerleave", () => { state.pointed = false; draw(); });
  view.addEventListener("click", (event) => {
    const at = pointed(event);
    if (!at) return;
    select(Math.max(0, at[0]), Math.max(0, at[1]));
    show(order[at[0] < 0 ? at[1] : at[0]]);
  });
  view.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const box = view.getBoundingClientRect();
    zoom(state.cell * (event.deltaY < 0 ? 1.15 : 1 / 1.15), [event.clientX - box.left, event.clientY - box.top]);
  }, { passive: false });
  view.addEventListener("focus", () => { tell(); draw(); });
  view.addEventListener("blur", draw);
  view.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 10 : 1;
    const moved = { ArrowUp: [-step, 0], ArrowDown: [step, 0], ArrowLeft: [0, -step], ArrowRight: [0, step], Home: [0, -size], End: [0, size], PageUp: [-size, 0], PageDown: [size, 0] }[event.key];
    if (moved) select(state.row + moved[0], state.column + moved[1], true);
    else if (event.key === "+" || event.key === "=") { zoom(state.cell * 1.6); select(state.row, state.column, true); }
    else if (event.key === "-") { zoom(state.cell / 1.6); select(state.row, state.column, true); }
    else if (event.key === "Enter") show(order[state.row]).focus();
    else return;
    event.preventDefault();
  });
  list.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { show(-1); view.focus(); }
  });
  new ResizeObserver(() => { if (state.cell) { if (state.fits) state.cell = whole(); fit(); } }).observe(place);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  place.classList.add("language-map");
  place.replaceChildren(form, hits, view, readout, scale, list, table, make("p", {}, button("Save as CSV", `Save ${title} as CSV`, save)));
  update();
  zoom(0);
};
