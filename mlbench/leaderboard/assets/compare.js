"use strict";
(() => {
  const form = document.querySelector("form.controls");
  const [first, second] = ["first", "second"].map((id) => document.getElementById(id));
  const names = [...first.options].map((option) => option.value);
  second.append(...[...first.options].map((option) => option.cloneNode(true)));
  let update = () => {};

  // Which cells of two entries differ, as far as the build tested them: those of entries that stand near each other.
  const differing = (task, a, b) => {
    const [one, other] = a < b ? [a, b] : [b, a];
    const bits = board.byName(board.entries[one].tasks[task].differs)[other];
    const bytes = bits && Uint8Array.from(atob(bits), (letter) => letter.charCodeAt(0));
    return bytes ? (cell) => Boolean((bytes[cell >> 3] >> (7 - (cell & 7))) & 1) : null;
  };

  const describe = (key) => {
    const dot = key.lastIndexOf(".");
    return dot < 0 ? key.replaceAll("_", " ") : `${board.title(key.slice(0, dot))} ${board.kinds[key.slice(dot + 1)]}`;
  };

  // As many decimals as the larger of two values deserves, for their difference as well.
  const writer = (key, largest) => {
    const digits = key === "rank_distance" ? (largest < 1000 ? 1 : 0) : 3;
    return (value) => board.decimal(value, digits);
  };

  const noteOf = (better) => (better === "higher" ? [] : [board.make("small", {}, better === "lower" ? "lower is better" : `best at ${board.decimal(better)}`)]);

  // Of too few clusters of topics no p-value reaches the level.
  const unproven = (task) => (board.tasks[task].tells ? "not significant" : "cannot tell");

  const summarise = (task, [a, b], [one, other]) => {
    const { summary, better } = board.tasks[task];
    const tested = board.testPair(board.tasks[task], a, b);
    const rows = summary.map((key, index) => {
      const { from, to, limits, p } = tested[index];
      if (from === null || to === null) return null;
      const write = writer(key, Math.max(from, to));
      const winner = board.loss(to, better[index]) < board.loss(from, better[index]) ? other : one;
      const verdict = p === null ? "cannot be compared" : p <= 0.05 ? board.make("td", {}, board.make("strong", {}, `${winner} is better`)) : unproven(task);
      return [
        board.make("th", { scope: "row" }, describe(key), ...noteOf(better[index])),
        write(from), write(to), board.signed(write(to - from)),
        limits ? limits.map((limit) => board.signed(write(limit))).join(" to ") : "·",
        p === null ? "·" : p < 0.001 ? "< .001" : board.decimal(p),
        verdict,
      ];
    });
    document.getElementById("summary").replaceChildren(
      board.table(`${one} and ${other} on ${task}`, ["mean or score", one, other, "difference", "interval", "adjusted\u00a0p", "verdict"], rows.filter(Boolean), "summary"));
  };

  const untested = (task, a, b) => `Single settings are not tested here, since ${board.tasks[task].about ? "there are too many" : "the two do not stand near each other"}: mlbench compare ${a} ${b} in a copy of the leaderboard tests them.`;

  const show = (task, measure, [a, b]) => {
    const [one, other] = [a, b].map((name) => board.entries[name].title);
    const [left, right] = [a, b].map((name) => board.entries[name].tasks[task]);
    const { languages, columns, measures } = board.tasks[task];
    const shown = measures.includes(measure) ? measure : measures[0];
    const title = board.title(shown);
    for (const option of form.elements.measure.options) option.hidden = !measures.includes(option.value);
    form.elements.measure.value = shown;
    document.getElementById("grid").textContent = columns ? "Every caption language, in both directions" : "Every pair of languages";
    summarise(task, [left, right], [one, other]);

    const [from, to] = [left, right].map((each) => board.unpackShares(each.grids[shown]));
    const values = from.map((value, cell) => (value === null || to[cell] === null ? null : to[cell] - value));
    const differs = differing(task, a, b);
    const tested = Boolean(differs) && shown === measures[0];
    const marked = (cell) => tested && differs(cell);
    const better = [false, true].map((side) => values.filter((value, cell) => value !== null && marked(cell) && value > 0 === side).length);
    document.getElementById("counts").textContent = tested
      ? `Of ${values.filter((value) => value !== null).length} settings, ${other} is significantly better in ${better[1]} and ${one} in ${better[0]}.`
      : differs ? `Single settings are tested by ${board.title(measures[0])}; ${title} is shown without marks.` : untested(task, a, b);
    document.getElementById("direction").textContent = `Blue: ${other} is better. Red: ${one} is better.`;
    const named = `${title} of ${other} minus ${one} on ${task}`;
    const { about } = board.tasks[task];
    if (about) {
      board.languageMap(document.getElementById("map"), {
        title: named, name: `difference of ${title}`, about, scale: board.diverging(values), values, marked, signed: true, legend: tested ? "* significant" : "",
      });
      return;
    }
    board.heatMap(document.getElementById("map"), {
      title: named,
      languages,
      columns,
      scale: board.diverging(values),
      value: (cell) => values[cell],
      text: (value, full) => board.signed(board.decimal(value, full ? 3 : 2)),
      marked,
      legend: tested ? "significant" : "",
      words: (cell, query, documents) => {
        const setting = board.setting(query, documents, columns);
        if (values[cell] === null) return `${setting}: no query has a relevant document`;
        const sure = tested ? (marked(cell) ? ", significant" : `, ${unproven(task)}`) : "";
        return `${setting}: ${title} ${board.decimal(from[cell])} and ${board.decimal(to[cell])}, difference ${board.signed(board.decimal(values[cell]))}${sure}`;
      },
    });
  };

  const say = (text) => {
    document.getElementById("said").textContent = text;
    document.getElementById("comparison").hidden = Boolean(text);
  };

  const enter = (state) => {
    const asked = (state.compare || "").split(",");
    const [a, b] = [0, 1].map((index) => (names.includes(asked[index]) ? asked[index] : ""));
    first.value = a || names[0];
    second.value = b || names.find((name) => name !== first.value) || names[0];
    const chosen = [first.value, second.value];
    if (chosen[0] === chosen[1]) return say("Choose two different entries.");
    return board.load(chosen, () => {
      if (first.value !== chosen[0] || second.value !== chosen[1]) return undefined;
      // Before anybody asks for one, the first task that both were measured on.
      const tasks = [...form.elements.task.options].map((option) => option.value);
      const has = (name, task) => task in board.entries[name].tasks;
      const task = state.task || tasks.find((each) => chosen.every((name) => has(name, each))) || tasks[0];
      form.elements.task.value = task;
      const lacking = chosen.filter((name) => !has(name, task)).map((name) => board.entries[name].title);
      if (lacking.length) return say(`${lacking.join(" and ")} ${lacking.length > 1 ? "were" : "was"} not measured on ${task}.`);
      say("");
      return show(task, form.elements.measure.value, chosen);
    });
  };

  for (const select of [first, second]) select.addEventListener("change", () => update({ compare: `${first.value},${second.value}` }));
  document.getElementById("swap").addEventListener("click", () => update({ compare: `${second.value},${first.value}` }));
  board.follow(form, (state, change) => {
    update = change;
    enter(state);
  });
})();
