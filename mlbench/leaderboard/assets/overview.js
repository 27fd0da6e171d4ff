"use strict";
(() => {
  const FIRST = ["AP.multilingual", "Success@1.text_to_image"];
  const POOLS = ["multilingual", "image_to_pool"];
  const form = document.querySelector("form.controls");
  const tables = [...document.querySelectorAll("table.overview")];
  const compare = document.getElementById("compare");
  const heads = (table) => [...table.tHead.rows[0].cells];
  const natural = (head) => (head.dataset.key === "name" || head.dataset.key === "size" || "better" in head.dataset ? "ascending" : "descending");
  let update = () => {};

  // The number that a cell shows between its rank and its interval, and the limits of that; none is null.
  const numbers = (text) => text.replaceAll(",", "").split("–").map((each) => (/\d/.test(each) ? Number(each) : null));
  const valueOf = (cell) => numbers([...cell.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data).join(""))[0];
  const limitsOf = (cell) => numbers(cell.querySelector("small")?.textContent || "");

  // Sorts a table by one column; what has no number stays below, and what is equal goes by name.
  const sort = (table, head, order) => {
    const column = heads(table).indexOf(head);
    const sign = order === "ascending" ? 1 : -1;
    const key = (row) => {
      const cell = row.cells[column];
      if (head.dataset.key === "name") return row.cells[0].textContent.trim().toLowerCase();
      if (head.dataset.key === "size") return cell.dataset.v ? Number(cell.dataset.v) : null;
      const value = valueOf(cell);
      // What is better nearer to a number is sorted by its distance from it.
      return value === null || !Number(head.dataset.better) ? value : Math.abs(value - head.dataset.better);
    };
    const rows = [...table.tBodies[0].rows].map((row) => [key(row), row.dataset.name, row]);
    rows.sort(([a, first], [b, second]) => {
      if (a === null || b === null) return (a === null) - (b === null) || (first < second ? -1 : 1);
      return a === b ? (first < second ? -1 : 1) : a < b ? -sign : sign;
    });
    table.tBodies[0].append(...rows.map(([, , row]) => row));
    for (const each of heads(table)) {
      if (each === head) each.setAttribute("aria-sort", order);
      else each.removeAttribute("aria-sort");
    }
    for (const row of table.rows) [...row.cells].forEach((cell, index) => cell.classList.toggle("sorted", index === column));
    // Where there is no room for all columns, this one comes into view beside the names.
    const region = table.parentElement;
    if (column && head.offsetLeft + head.offsetWidth > region.scrollLeft + region.clientWidth) region.scrollLeft = head.offsetLeft - heads(table)[0].offsetWidth;
  };

  const showColumns = (table, measure, kind) => {
    heads(table).forEach((head, index) => {
      const { measure: own, kind: of } = head.dataset;
      const fits = of ? (measure === "all" || own === measure) && (!kind || of === kind) : !kind || POOLS.includes(kind);
      for (const row of table.rows) row.cells[index].hidden = own !== undefined && !fits;
    });
  };

  const showRows = (table, { size, find = "" }) => {
    const column = heads(table).findIndex((head) => head.dataset.key === "size");
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      const parameters = row.cells[column].dataset.v;
      const fits = !size || (size === "unknown" ? !parameters : Boolean(parameters) && Number(parameters) <= Number(size));
      row.hidden = !(fits && row.cells[0].textContent.toLowerCase().includes(find.toLowerCase()));
      shown += row.hidden ? 0 : 1;
    }
    return shown;
  };

  // Draws the interval of each visible number within the range of its column.
  const whisk = (table) => {
    heads(table).forEach((head, index) => {
      if (head.hidden || head.dataset.measure === undefined) return;
      const found = [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[index]).filter((cell) => limitsOf(cell).length === 2);
      const limits = found.map(limitsOf);
      const [low, high] = [Math.min(...limits.map(([a]) => a)), Math.max(...limits.map(([, b]) => b))];
      const position = (value) => (high > low ? (100 * (value - low)) / (high - low) : 50);
      found.forEach((cell, which) => {
        cell.querySelector("svg")?.remove();
        const [from, to] = limits[which].map(position);
        const here = Math.min(100, Math.max(0, position(valueOf(cell))));
        cell.append(board.draw("svg", { class: "whisker", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
          board.draw("rect", { x: from, y: 2.5, width: Math.max(0.5, to - from), height: 1 }),
          board.draw("rect", { x: here - 1.25, y: 0.5, width: 2.5, height: 5 })));
      });
    });
  };

  const showTicks = (state) => {
    const boxes = [...document.querySelectorAll("input[data-entry]")];
    const ticked = (state.compare || "").split(",").filter((name) => boxes.some((box) => box.dataset.entry === name)).slice(-2);
    for (const box of boxes) box.checked = ticked.includes(box.dataset.entry);
    compare.textContent = ticked.length === 2 ? "Compare the two" : ticked.length === 1 ? "Tick one more to compare" : "Tick two entries to compare";
    if (ticked.length === 2) {
      const task = state.task && state.task !== "all" ? `&task=${encodeURIComponent(state.task)}` : "";
      compare.href = `compare.html#compare=${ticked.join(",")}${task}`;
      compare.removeAttribute("aria-disabled");
    } else {
      compare.removeAttribute("href");
      compare.setAttribute("aria-disabled", "true");
    }
  };

  // A task has measures and kinds of settings of its own: what the others have is not offered for it, and not heeded.
  const offer = (section, state) => {
    const found = [...section.querySelectorAll("th[data-kind]")].filter((head) => head.dataset.kind);
    const has = (name, value) => found.some((head) => head.dataset[name] === value);
    const measures = [...form.elements.measure.options].map((option) => option.value);
    const first = measures.find((measure) => has("measure", measure)) || measures[0];
    const measure = state.measure || measures[0];
    return {
      has,
      measure: measure === "all" || has("measure", measure) ? measure : first,
      kind: has("kind", state.kind) ? state.kind : "",
    };
  };

  const show = (state) => {
    const task = state.task || form.elements.task.options[0]?.value;
    let shown = 0;
    for (const section of document.querySelectorAll("section[data-task]")) {
      section.hidden = task !== "all" && section.dataset.task !== task;
      const { has, measure, kind } = offer(section, state);
      if (!section.hidden && task !== "all") {
        for (const option of form.elements.measure.options) option.hidden = option.value !== "all" && !has("measure", option.value);
        for (const option of form.elements.kind.options) option.hidden = option.value && !has("kind", option.value);
        form.elements.measure.value = measure;
        form.elements.kind.value = kind;
      }
      for (const group of section.querySelectorAll(".group")) {
        const verified = group.dataset.group === "verified";
        group.hidden = state.show === "verified" ? !verified : state.show === "reported" && verified;
        const table = group.querySelector("table");
        showColumns(table, measure, kind);
        const rows = showRows(table, state);
        if (!section.hidden && !group.hidden) shown += rows;
        const visible = heads(table).filter((head) => !head.hidden);
        const numbers = visible.filter((head) => head.dataset.measure !== undefined);
        const asked = visible.find((head) => head.dataset.key === state.sort);
        const head = asked || numbers.find((each) => FIRST.includes(each.dataset.key)) || numbers.findLast((each) => each.dataset.kind) || numbers[0] || visible[0];
        sort(table, head, asked && state.order ? state.order : natural(head));
        whisk(table);
        group.querySelector(".none").hidden = Boolean(rows && numbers.length);
      }
    }
    document.getElementById("shown").textContent = `${shown} ${shown === 1 ? "row" : "rows"} shown`;
    showTicks(state);
  };

  for (const table of tables) {
    for (const head of heads(table)) {
      const button = board.make("button", { type: "button" }, ...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const turned = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
        const order = head.hasAttribute("aria-sort") ? turned : natural(head);
        update({ sort: head.dataset.key, order: order === natural(head) ? "" : order });
      });
    }
  }
  for (const row of document.querySelectorAll("[data-group=verified] tbody tr")) {
    const box = board.make("input", { type: "checkbox", "data-entry": row.dataset.name, "aria-label": `Compare ${row.cells[0].textContent.trim()}` });
    row.cells[0].prepend(box);
    box.addEventListener("change", () => {
      const before = (new URLSearchParams(location.hash.slice(1)).get("compare") || "").split(",").filter((name) => name && name !== box.dataset.entry);
      update({ compare: (box.checked ? [...before, box.dataset.entry].slice(-2) : before).join(",") });
    });
  }
  board.follow(form, (state, change) => {
    update = change;
    show(state);
  });
})();
