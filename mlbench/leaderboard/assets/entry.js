"use strict";
(() => {
  const form = document.querySelector("form.controls");
  const entry = board.entries[document.querySelector("main").dataset.entry];

  // A number with a bar below it, and its interval in words and as a line on the bar.
  const bar = (value, [low, high], most, write) => {
    const cell = board.make("td", {}, write(value));
    if (value === null) return cell;
    const picture = board.draw("svg", { class: "bar", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" }, board.draw("rect", { width: (100 * value) / most, height: 8 }));
    if ((low ?? null) !== null) {
      cell.append(board.make("small", {}, `${write(low)}–${write(high)}`));
      picture.append(board.draw("rect", { class: "limits", x: (100 * low) / most, y: 3, width: (100 * (high - low)) / most, height: 2 }));
    }
    cell.append(picture);
    return cell;
  };

  // Colours a table of captions: columns of one unit share a scale.
  const paint = (table) => {
    for (const unit of ["share", "score"]) {
      const cells = [...table.querySelectorAll(`td[data-unit=${unit}]`)];
      const scale = board.sequential(cells.map((cell) => Number(cell.dataset.v)));
      for (const cell of cells) {
        cell.style.background = scale.colour(Number(cell.dataset.v));
        cell.style.color = scale.ink(Number(cell.dataset.v));
      }
    }
  };
  document.querySelectorAll("table.captions").forEach(paint);

  // The values of each query language by kind, with limits where there are any: monolingual and pooled ones are cells.
  const rowsOf = (data, { languages, measures }, shown) => {
    const kinds = Object.keys(board.kinds);
    if (!data.grids) return kinds.filter((kind) => kind in data.rows).map((kind) => [kind, ...data.rows[kind].map(board.unpackShares)]);
    const size = languages.length + 1;
    const grids = [data.grids[shown], ...(shown === measures[0] ? data.limits : [])].map(board.unpackShares);
    const pick = (at) => grids.map((grid) => languages.map((_, row) => grid[row * size + at(row)]));
    const found = [["monolingual", ...pick((row) => row)], ["cross_lingual", ...(data.cross[shown] || [""]).map(board.unpackShares)], ["multilingual", ...pick(() => languages.length)]];
    return found.filter(([, values]) => values.some((value) => value !== null));
  };

  const drawRows = (title, name, data, task, shown) => {
    const { languages } = task;
    const columns = rowsOf(data, task, shown).map(([kind, values, low = [], high = []]) => ({
      head: `${name} ${board.kinds[kind]}`,
      cell: (row) => bar(values[row], [low[row], high[row]], 1, (value) => board.decimal(value)),
    }));
    const values = data.distances;
    if (values.length) {
      const head = board.make("th", { scope: "col" }, "rank distance", board.make("small", {}, "lower is better"));
      columns.push({ head, cell: (row) => bar(values[row], [], Math.max(...values), board.distance) });
    }
    if (!columns.length) return [];
    const rows = languages.map((language, row) => [language, ...columns.map(({ cell }) => cell(row))]);
    const table = board.table(title, ["query", ...columns.map(({ head }) => head)], rows, "bars");
    // Rows of many languages are folded, so that what follows is found.
    if (task.about) return [board.make("details", { class: "wide rows" }, board.make("summary", {}, title), table)];
    return [board.make("div", {}, board.make("h3", {}, title), table)];
  };

  const drawMap = (title, name, data, { languages, columns, measures, queries, about }, shown) => {
    const values = board.unpackShares(data.grids[shown]);
    const [low, high] = shown === measures[0] ? data.limits.map(board.unpackShares) : [[], []];
    const place = board.make("div");
    if (about) {
      board.languageMap(place, { title, name, about, scale: board.sequential(values), values, low, high });
      return board.make("div", { class: "wide" }, board.make("h3", {}, title), place);
    }
    board.heatMap(place, {
      title,
      languages,
      columns,
      scale: board.sequential(values),
      value: (cell) => values[cell],
      text: (value, full) => board.decimal(value, full ? 3 : 2).replace(/^1\.00$/, "1.0"),
      words: (cell, query, documents) => {
        const setting = board.setting(query, documents, columns);
        if (values[cell] === null) return `${setting}: no query has a relevant document`;
        const limits = (low[cell] ?? null) === null ? "" : `, interval ${board.decimal(low[cell])} to ${board.decimal(high[cell])}`;
        return `${setting}: ${name} ${board.decimal(values[cell])}${limits}; ${queries[cell].toLocaleString("en")} queries`;
      },
    });
    return board.make("div", {}, board.make("h3", {}, title), place);
  };

  const drawScores = (data, { scores, references }) => {
    const rows = scores.map((name, at) => {
      if (!data.scores[at]) return null;
      const [value, limits = "", beside = "", ends = ""] = data.scores[at].split("|");
      const head = board.make("th", { scope: "row" }, board.make("a", { href: `../about.html#${encodeURIComponent(name)}` }, board.spoken(name)));
      return [head, value, limits.replace(", ", "–"), [references[at], beside].filter(Boolean).join(", "), ends];
    });
    const title = "Language bias";
    return board.make("div", { class: "wide" }, board.make("h3", {}, title), board.table(title, ["score", "value", "interval", "reference", "lowest, highest language"], rows.filter(Boolean), "words"));
  };

  const draw = (section, measure) => {
    const data = entry.tasks[section.dataset.task];
    const place = section.querySelector(".figures");
    const open = place.querySelector("details")?.open;
    if (data.grids) {
      const task = board.tasks[section.dataset.task];
      const shown = task.measures.includes(measure) ? measure : task.measures[0];
      const name = board.title(shown);
      place.replaceChildren(
        drawMap(task.columns ? `${name} in both directions` : `${name} of every pair of languages`, name, data, task, shown),
        ...(task.columns ? [] : drawRows(`${name} by language of the query`, name, data, task, shown)),
        ...(data.scores.length ? [drawScores(data, task)] : []),
      );
    } else {
      const name = board.title(data.measure);
      place.replaceChildren(...drawRows(`${name} by language of the query`, name, data, data, data.measure));
    }
    if (open) place.querySelector("details").open = true;
  };

  // A task has measures of its own, and other ones are not offered for it.
  const offer = (measures) => {
    const select = form.elements.measure;
    for (const option of select.options) option.hidden = measures && !measures.includes(option.value);
    return !measures || measures.includes(select.value) ? select.value : measures[0];
  };

  board.follow(form, () => {
    const task = board.tasks[form.elements.task.value];
    const measure = offer(entry.tasks[form.elements.task.value].grids && task.measures);
    form.elements.measure.value = measure;
    for (const section of document.querySelectorAll("section[data-task]")) {
      section.hidden = section.dataset.task !== form.elements.task.value;
      if (!section.hidden) draw(section, measure);
    }
  });
})();
