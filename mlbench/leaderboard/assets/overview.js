"use strict";
(() => {
  const MOST_ROWS = 100;
  const form = document.querySelector("form.controls");
  if (!form) return;
  const sections = [...document.querySelectorAll("section.ranking")];
  const tabs = [...document.querySelectorAll("nav.tabs a")];
  const compare = document.getElementById("compare");
  const [languagePicker, filters] = ["languages", "filters"].map((id) => document.getElementById(id));
  const rankings = new Map();
  let state = {};
  let update = () => {};

  // Data files call this. A cell is the number as it is written, its interval, its rank and its group; null is none.
  board.knowRanking = (key, data) => {
    const write = (text) => (text === "·" ? "" : text.replace(":", "–"));
    const columns = data.columns.map(({ values, bounds, ranks, groups, ...column }) => {
      const [intervals, places] = [bounds, ranks].map((each) => each.split(" ").map(write));
      return { ...column, cells: values.split(" ").map((value, index) => (value === "·" ? null : [value, intervals[index], places[index], groups[index]])) };
    });
    const entries = data.entries.map((entry) => ({ control: false, licence: "", parameters: null, seen: "unknown", status: "recomputed", retriever: "encoder", notes: [], ...entry }));
    rankings.set(key, { ...data, columns, entries });
  };

  const load = ({ dataset }, then) => {
    if (rankings.has(dataset.task)) return then();
    const script = board.make("script", { src: dataset.file });
    script.addEventListener("load", then);
    return document.head.append(script);
  };

  const chosen = (data) => (state.languages || "").split(",").filter((tag) => data.languages.some(([known]) => known === tag));
  const mean = (values) => {
    const known = values.filter((value) => value !== null && value !== undefined);
    return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
  };

  // A cell that is computed here, of no rank; what the build wrote has text, limits, rank and group.
  const computed = (value, write, limits = []) => (value === null ? null : [write(value), limits[0] === undefined || limits[0] === null ? "" : limits.map(write).join("–"), "", 0]);
  const valueOf = (cell) => (cell ? Number(cell[0].replaceAll(",", "")) : null);
  const limitsOf = (cell) => (cell && cell[1] ? cell[1].replaceAll(",", "").split("–").map(Number) : null);

  const kindsOf = (data) => [...new Set(data.columns.map((column) => column.kind).filter((kind) => kind in data.rows))];
  const measureOf = (data, byLanguage) => {
    const has = byLanguage ? Object.keys(data.rows[kindsOf(data)[0]] || {}) : data.columns.filter((column) => column.kind).map((column) => column.measure);
    return has.includes(state.measure) ? state.measure : data.columns[0].measure;
  };

  // The means of a measure over some languages, by their numbers, for each entry; limits are known of single ones.
  const meansOver = (data, kind, measure, numbers) => {
    const limits = numbers.length === 1 && measure === data.columns[0].measure ? data.limits[kind] : undefined;
    return data.rows[kind][measure].map((packed, entry) => {
      const values = board.unpack(packed);
      return computed(mean(numbers.map((number) => values[number])), (value) => board.decimal(value), limits ? limits[entry].map((each) => board.unpackShares(each)[numbers[0]]) : []);
    });
  };

  // The columns of a ranking as they are asked for: kinds of settings, kinds over chosen languages, or languages.
  const columnsOf = (data) => {
    const tags = data.languages.map(([tag]) => tag);
    const asked = chosen(data);
    const by = kindsOf(data).includes(state.by) ? state.by : "";
    const measure = measureOf(data, by || asked.length);
    if (by) {
      return (asked.length ? asked : tags).map((tag) => ({
        key: tag, title: new Map(data.languages).get(tag), notes: [tag], better: "higher", cells: meansOver(data, by, measure, [tags.indexOf(tag)]),
      }));
    }
    if (!asked.length) {
      return data.columns.map((column, index) => ({ ...column, order: data.orders[index] }))
        .filter((column) => !column.kind || column.measure === measure);
    }
    const numbers = asked.map((tag) => tags.indexOf(tag));
    return data.columns.filter((column) => column.measure === measure && column.kind in data.rows).map(({ key, kind, title }) => ({
      key, title, notes: [`${asked.length === 1 ? new Map(data.languages).get(asked[0]) : `${asked.length} languages`}`], better: "higher", cells: meansOver(data, kind, measure, numbers),
    }));
  };

  const fits = (entry) => {
    const { size, find = "" } = state;
    const known = entry.parameters !== null;
    return (!size || (size === "unknown" ? !known : known && entry.parameters <= Number(size)))
      && (!state.kind || entry.retriever === state.kind)
      && (!state.licence || (entry.licence || "unknown") === state.licence)
      && (!state.seen || entry.seen === state.seen)
      && (!state.status || entry.status === state.status)
      && entry.title.toLowerCase().includes(find.toLowerCase());
  };

  const natural = (key, better) => (key === "name" || key === "size" || better !== "higher" ? "ascending" : "descending");

  // Which entries are shown, in their order: those without a number stay below, and what is equal stays as it was.
  const ordered = (data, shown, column) => {
    const key = state.sort === "name" ? (index) => data.entries[index].title.toLowerCase()
      : state.sort === "size" ? (index) => data.entries[index].parameters
        : column.order ? (index) => { const at = column.order.indexOf(index); return at < 0 ? null : at; }
          : (index) => (column.cells[index] ? board.loss(valueOf(column.cells[index]), column.better) : null);
    const turned = state.order ? -1 : 1;
    const keys = shown.map((index) => [key(index), index]);
    return keys.sort(([a, first], [b, second]) => {
      if (a === null || b === null || a === b) return (a === null) - (b === null) || first - second;
      return a < b ? -turned : turned;
    }).map(([, index]) => index);
  };

  const head = (key, title, notes, better, sorted) => {
    const cell = board.make("th", { scope: "col", "data-key": key });
    const words = [title, ...notes.map((note) => board.make("small", {}, note))];
    if (key === "rank") {
      cell.append(...words);
      return cell;
    }
    const button = board.make("button", { type: "button" }, ...words);
    const first = natural(key, better);
    if (sorted) {
      const turned = first === "ascending" ? "descending" : "ascending";
      cell.setAttribute("aria-sort", state.order ? turned : first);
      cell.classList.add("sorted");
    }
    button.addEventListener("click", () => {
      update({ sort: key, order: sorted && !state.order ? "turned" : "" });
      document.querySelector(`section.ranking:not([hidden]) [data-key="${CSS.escape(key)}"] button`).focus();
    });
    cell.append(button);
    return cell;
  };

  // A number with its interval, in words and drawn within the range of its column.
  const numberCell = (cell, sorted, position) => {
    const made = board.make("td", sorted ? { class: "sorted" } : {}, cell ? cell[0] : "·");
    const limits = limitsOf(cell);
    if (!limits) return made;
    const [from, to] = limits.map(position);
    const here = Math.min(100, Math.max(0, position(valueOf(cell))));
    made.append(board.make("small", {}, cell[1]), board.draw("svg", { class: "whisker", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
      board.draw("rect", { x: from, y: 2.5, width: Math.max(0.5, to - from), height: 1 }),
      board.draw("rect", { x: here - 1.25, y: 0.5, width: 2.5, height: 5 })));
    return made;
  };

  const positionIn = (cells) => {
    const ends = cells.map(limitsOf).filter(Boolean);
    const [low, high] = [Math.min(...ends.map(([a]) => a)), Math.max(...ends.map(([, b]) => b))];
    return (value) => (high > low ? (100 * (value - low)) / (high - low) : 50);
  };

  const nameCell = (entry, ticked) => {
    const box = board.make("input", { type: "checkbox", "data-entry": entry.name, "aria-label": `Compare ${entry.title}` });
    box.checked = ticked.includes(entry.name);
    box.addEventListener("change", () => {
      const before = ticked.filter((name) => name !== entry.name);
      update({ compare: (box.checked ? [...before, entry.name].slice(-2) : before).join(",") });
      document.querySelector(`section.ranking:not([hidden]) input[data-entry="${CSS.escape(entry.name)}"]`)?.focus();
    });
    const notes = [...(entry.control ? ["control"] : []), ...entry.notes];
    return board.make("th", { scope: "row" }, box, board.make("a", { href: `entries/${entry.name}.html` }, entry.title),
      board.make("small", {}, entry.status === "recomputed" ? entry.status : board.make("span", { class: `badge ${entry.status.replace(" ", "-")}` }, entry.status), ...notes.flatMap((note) => [" · ", note])));
  };

  const drawTable = (section, data, columns, rows, main, ticked) => {
    const table = section.querySelector("table.overview");
    const byNumber = !["name", "size"].includes(state.sort);
    table.tHead.rows[0].replaceChildren(
      head("rank", "rank", [], "", false), head("name", "entry", [], "", state.sort === "name"),
      ...columns.map((column) => head(column.key, column.title, column.notes, column.better, byNumber && column === main)),
      head("size", "size", ["parameters"], "", state.sort === "size"));
    const positions = columns.map((column) => positionIn(rows.map((index) => column.cells[index])));
    table.tBodies[0].replaceChildren(...rows.map((index, place) => {
      const entry = data.entries[index];
      const [here, above] = [main.cells[index], main.cells[rows[place - 1]]];
      const row = board.make("tr", { "data-name": entry.name }, board.make("td", {}, (here && here[2]) || "·"), nameCell(entry, ticked),
        ...columns.map((column, at) => numberCell(column.cells[index], byNumber && column === main, positions[at])),
        board.make("td", {}, entry.size));
      // A line between entries that do not tie.
      if (byNumber && place && here && above && here[3] !== above[3]) row.classList.add("apart");
      return row;
    }));
    const region = table.parentElement;
    const sorted = table.querySelector("th.sorted");
    if (sorted && sorted.offsetLeft + sorted.offsetWidth > region.scrollLeft + region.clientWidth) region.scrollLeft = sorted.offsetLeft - table.tHead.rows[0].cells[1].offsetWidth;
  };

  const drawPlots = (section, data, rows, main) => {
    const place = section.querySelector(".plots");
    place.hidden = false;
    place.replaceChildren();
    const preference = data.columns.find((column) => column.key === "own_language_preference");
    const decimal = (value) => board.decimal(value, 3).replace(/\.?0+$/, "") || "0";
    const y = { label: main.title, write: main.key === "rank_distance" ? board.distance : decimal };
    const point = (index, x) => ({ title: data.entries[index].title, href: `entries/${data.entries[index].name}.html`, x, y: valueOf(main.cells[index]) });
    const size = (value) => (value >= 1e9 ? `${value / 1e9} G` : value >= 1e6 ? `${Math.round(value / 1e5) / 10} M` : value >= 1e3 ? `${Math.round(value / 1e3)} k` : String(value));
    board.scatter(place, { title: `${main.title} against size`, x: { label: "parameters", write: size, log: true }, y, points: rows.map((index) => point(index, data.entries[index].parameters)) });
    if (preference) {
      board.scatter(place, { title: `${main.title} against own language preference (.500 is fair)`, x: { label: "own language preference", write: decimal }, y, points: rows.map((index) => point(index, valueOf(preference.cells[index]))) });
    }
  };

  // What is shown, as plain rows; numbers are as written.
  const plainRows = (data, columns, rows, main) => rows.map((index) => {
    const { name, title, status, control, licence, parameters, retriever, seen } = data.entries[index];
    const numbers = columns.flatMap((column) => {
      const limits = limitsOf(column.cells[index]) || [null, null];
      return [[column.key, valueOf(column.cells[index])], [`${column.key} low`, limits[0]], [`${column.key} high`, limits[1]]];
    });
    return { rank: (main.cells[index] && main.cells[index][2]) || "", entry: name, title, status, control, licence, parameters, retriever, trained_on_task: seen, ...Object.fromEntries(numbers) };
  });

  const showTicks = (data, ticked) => {
    compare.textContent = ["Tick two to compare", "Tick one more", "Compare the two"][ticked.length];
    if (ticked.length === 2) {
      compare.href = `compare.html#compare=${ticked.join(",")}&task=${encodeURIComponent(state.task || sections[0].dataset.task)}`;
      compare.removeAttribute("aria-disabled");
    } else {
      compare.removeAttribute("href");
      compare.setAttribute("aria-disabled", "true");
    }
  };

  // Fields that choose among the languages of a ranking; many are found by a part of their names.
  const offerLanguages = (section, data) => {
    const asked = chosen(data);
    const [summary, list] = languagePicker.children;
    languagePicker.hidden = data.languages.length < 2 || !kindsOf(data).length;
    const names = new Map(data.languages);
    summary.textContent = !asked.length ? `all ${data.languages.length} languages` : asked.length <= 2 ? asked.map((tag) => names.get(tag)).join(", ") : `${asked.length} languages`;
    if (list.dataset.task !== section.dataset.task) {
      list.dataset.task = section.dataset.task;
      const boxes = data.languages.map(([tag, name]) => {
        const box = board.make("input", { type: "checkbox", value: tag });
        box.addEventListener("change", () => {
          const ticked = [...list.querySelectorAll("input:checked")].map((each) => each.value);
          update({ languages: ticked.length === data.languages.length ? "" : ticked.join(",") });
        });
        return board.make("label", {}, box, ` ${name} (${tag})`);
      });
      const find = board.make("input", { type: "search", "aria-label": "Search languages", placeholder: "Search" });
      find.addEventListener("input", () => boxes.forEach((box) => { box.hidden = !box.textContent.toLowerCase().includes(find.value.toLowerCase()); }));
      const all = board.make("button", { type: "button" }, "All languages");
      all.addEventListener("click", () => update({ languages: "" }));
      list.replaceChildren(...(boxes.length > 12 ? [find] : []), all, ...boxes);
    }
    for (const box of list.querySelectorAll("input[type=checkbox]")) box.checked = asked.includes(box.value);
    const card = section.querySelector(".language");
    if (languagePicker.hidden) return;
    if (!card.querySelector("select")) {
      const select = board.make("select", {}, board.make("option", { value: "" }, "all languages"), ...data.languages.map(([tag, name]) => board.make("option", { value: tag }, name)));
      select.addEventListener("change", () => update({ languages: select.value }));
      card.append(board.make("label", {}, "Rank for queries in ", select));
    }
    const select = card.querySelector("select");
    select.value = asked.length === 1 ? asked[0] : "";
    if (asked.length > 1) select.selectedIndex = -1;
  };

  // Measures and kinds that a ranking has not are not offered for it, and not heeded.
  const offer = (data) => {
    const byLanguage = kindsOf(data).includes(state.by) || chosen(data).length;
    const measures = byLanguage ? Object.keys(data.rows[kindsOf(data)[0]] || {}) : data.columns.filter((column) => column.kind).map((column) => column.measure);
    for (const option of form.elements.measure.options) option.hidden = !measures.includes(option.value);
    for (const option of form.elements.by.options) option.hidden = option.value && !kindsOf(data).includes(option.value);
    form.elements.measure.value = measureOf(data, byLanguage);
    if (!kindsOf(data).includes(state.by)) form.elements.by.value = "";
    const used = ["size", "kind", "licence", "seen", "status"].filter((name) => state[name]).length;
    filters.firstElementChild.textContent = used ? `filters (${used})` : "filters";
  };

  const draw = (section) => {
    const data = rankings.get(section.dataset.task);
    offer(data);
    offerLanguages(section, data);
    const columns = columnsOf(data);
    const shown = data.entries.map((_, index) => index).filter((index) => fits(data.entries[index]) && (state.controls || !data.entries[index].control));
    const folded = data.entries.filter((entry) => entry.control && fits(entry)).length;
    const main = columns.find((column) => column.key === state.sort) || columns[0];
    const rows = ordered(data, shown, main);
    const ticked = (state.compare || "").split(",").filter((name) => data.entries.some((entry) => entry.name === name)).slice(-2);
    const place = section.querySelector(".place");
    // Moved only where it must be, as what has the focus would lose it.
    if (form.parentElement !== place) place.append(form);
    const drawn = state.rows === "all" ? rows : rows.slice(0, MOST_ROWS);
    drawTable(section, data, columns, drawn, main, ticked);
    drawPlots(section, data, rows, main);
    showTicks(data, ticked);
    const said = [`${drawn.length} of ${data.entries.length} entries shown`];
    if (drawn.length < rows.length) said.push(`${rows.length - drawn.length} more below them`);
    if (folded && !state.controls) said.push(`${folded} ${folded === 1 ? "control is folded away, and takes" : "controls are folded away, and take"} part in the ranks`);
    if (chosen(data).length || kindsOf(data).includes(state.by)) said.push("ranks are of means over all languages, and not told here");
    section.querySelector("[role=status]").textContent = `${said.join("; ")}.`;
    const actions = section.querySelector(".actions");
    actions.hidden = false;
    const [more, toggle, csv, json] = actions.children;
    more.hidden = drawn.length === rows.length;
    more.textContent = `Show all ${rows.length} rows`;
    more.onclick = () => update({ rows: "all" });
    toggle.hidden = !folded;
    toggle.textContent = state.controls ? "Fold controls away" : `Show ${folded} ${folded === 1 ? "control" : "controls"}`;
    toggle.onclick = () => update({ controls: state.controls ? "" : "shown" });
    const plain = () => plainRows(data, columns, rows, main);
    csv.onclick = () => board.download("ranking.csv", "text/csv", board.toCsv(plain()));
    json.onclick = () => board.download("ranking.json", "application/json", `${JSON.stringify({ ranking: data.title, sorted_by: main.key, entries: plain() }, null, 1)}\n`);
  };

  const show = () => {
    const current = sections.find((section) => section.dataset.task === state.task) || sections[0];
    for (const section of sections) section.hidden = section !== current;
    tabs.forEach((tab, index) => (sections[index] === current ? tab.setAttribute("aria-current", "true") : tab.removeAttribute("aria-current")));
    form.hidden = !current.dataset.file;
    if (current.dataset.file) load(current, () => { if (!current.hidden) draw(current); });
  };

  tabs.forEach((tab, index) => tab.addEventListener("click", (event) => {
    event.preventDefault();
    update({ task: index ? sections[index].dataset.task : "", sort: "", order: "", by: "", languages: "" });
  }));

  for (const cite of document.querySelectorAll(".cite")) {
    const button = board.make("button", { type: "button" }, "Copy");
    button.addEventListener("click", () => {
      const text = cite.querySelector("code");
      getSelection().selectAllChildren(text);
      if (navigator.clipboard) navigator.clipboard.writeText(text.textContent).then(() => { button.textContent = "Copied"; }, () => {});
    });
    cite.append(button);
  }
  // A click elsewhere closes what lies over the page, and so does Escape.
  for (const choice of [languagePicker, filters]) {
    document.addEventListener("click", (event) => { if (!choice.contains(event.target)) choice.open = false; });
    choice.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      choice.open = false;
      choice.firstElementChild.focus();
    });
  }
  board.follow(form, (read, change) => {
    [state, update] = [read, change];
    show();
  });
})();
