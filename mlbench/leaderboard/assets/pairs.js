"use strict";
// Tests two entries of a task: their means and bias scores are one family of the cluster-level sign-flip permutation
// test, adjusted by step-down max-T (Westfall and Young 1993, algorithm 4.1), as in `mlbench compare`. Clusters of topics
// come in at most 48 groups, and intervals are those of Student's t.
(() => {
  const MOST_PATTERNS = 10000;
  const TIE = 1e-9;

  // A generator of 32 random bits that is the same everywhere (mulberry32, Ettinger 2017).
  const bits = (seed) => () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return mixed ^ (mixed >>> 14);
  };

  // Patterns of signs, each an array with 1 or -1 for each group: all of them where they are few, else random ones.
  function* patterns(groups, exact) {
    const next = bits(0);
    const signs = new Int8Array(groups);
    for (let pattern = 0; pattern < (exact ? 2 ** groups : MOST_PATTERNS); pattern += 1) {
      let word = pattern;
      for (let group = 0; group < groups; group += 1) {
        if (!exact && group % 32 === 0) word = next();
        signs[group] = (word >>> (group % 32)) & 1 ? 1 : -1;
      }
      yield signs;
    }
  }

  // The adjusted two-sided p-values of `columns`, each with the contributions of all groups to a difference.
  const adjusted = (columns) => {
    if (!columns.length) return [];
    const groups = columns[0].length;
    const exact = 2 ** groups <= MOST_PATTERNS;
    const scales = columns.map((column) => Math.hypot(...column) || 1);
    const observed = columns.map((column, index) => Math.abs(column.reduce((sum, value) => sum + value, 0)) / scales[index]);
    const rising = columns.map((_, index) => index).sort((a, b) => observed[a] - observed[b]);
    const counts = columns.map(() => 0);
    for (const signs of patterns(groups, exact)) {
      let largest = 0;
      for (const index of rising) {
        const column = columns[index];
        let sum = 0;
        for (let group = 0; group < groups; group += 1) sum += signs[group] * column[group];
        largest = Math.max(largest, Math.abs(sum) / scales[index]);
        if (largest >= observed[index] - TIE) counts[index] += 1;
      }
    }
    const p = counts.map((count) => (exact ? count / 2 ** groups : (count + 1) / (MOST_PATTERNS + 1)));
    let least = 0;
    for (const index of rising.reverse()) p[index] = least = Math.max(least, p[index]);
    return p;
  };

  // What groups contribute to the loss of a number beyond their shares of it, or null.
  const residuals = (packed) => {
    if (!packed) return null;
    const [step, text] = packed;
    return Array.from(Int8Array.from(atob(text), (letter) => letter.charCodeAt(0)), (whole) => whole * step);
  };

  // For each number of the summary: both values, limits of the difference, second minus first, and the adjusted p-value,
  // which is null where the two cannot be compared.
  board.testPair = ({ summary, better, shares, t }, first, second) => {
    const rows = summary.map((_, index) => {
      const [from, to] = [first.summary[index], second.summary[index]];
      const [one, other] = [residuals(first.tests[index]), residuals(second.tests[index])];
      if (!one || !other) return { from, to, limits: null, p: null };
      const losses = [from, to].map((value) => board.loss(value, better[index]));
      // A loss falls as its number rises, but for numbers that are better lower, or that are above a target.
      const sides = [from, to].map((value) => (better[index] === "higher" ? -1 : better[index] === "lower" || value >= better[index] ? 1 : -1));
      const squares = one.reduce((sum, value, group) => sum + (sides[1] * other[group] - sides[0] * value) ** 2, 0);
      const reach = t === null ? null : t * Math.sqrt((squares * one.length) / (one.length - 1));
      const contributions = one.map((value, group) => other[group] - value + shares[index][group] * (losses[1] - losses[0]));
      return { from, to, limits: reach === null ? null : [to - from - reach, to - from + reach], contributions };
    });
    const tested = rows.filter((row) => row.contributions);
    adjusted(tested.map((row) => row.contributions)).forEach((p, index) => { tested[index].p = p; });
    return rows;
  };
})();
