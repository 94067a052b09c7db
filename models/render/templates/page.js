(() => {
  "use strict";
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const report = read("report");
  const drawings = read("drawings");
  const views = new Map();

  // Compact columns {axis, at, values} become rows {at, series, value, group}, bundles rows of their fields, cells rows {x, y, value, group, beyond}.
  const spread = (data) => {
    if (Array.isArray(data)) return data;
    const rows = [];
    for (const [group, grid] of Object.entries(data.cells ?? {})) {
      const beyond = new Set(grid.beyond.map(([i, j]) => `${i},${j}`));
      grid.values.forEach((row, i) =>
        row.forEach((value, j) => rows.push({ x: grid.x[i], y: grid.y[j], value, group, beyond: beyond.has(`${i},${j}`) })));
    }
    for (const [group, bundle] of Object.entries(data.bundles ?? {})) {
      for (const [series, columns] of Object.entries(bundle)) {
        columns[0].forEach((_, i) =>
          rows.push({ ...Object.fromEntries(data.fields.map((field, k) => [field, columns[k][i]])), series, group }));
      }
    }
    for (const [group, series] of Object.entries(data.values ?? {})) {
      const at = data.at[group];
      for (const [name, values] of Object.entries(series)) {
        values.forEach((value, i) => rows.push({ [data.axis]: at[i], series: name, value, group }));
      }
    }
    return rows;
  };

  const room = (canvas, spec) => Math.max(160, canvas.clientWidth - (spec.usermeta.beside ?? 0));

  // A stack of panels and a single chart both take their width from here: the page's, not the chart's.
  const fitted = (spec, width) => {
    const copy = structuredClone(spec);
    for (const panel of copy.vconcat ?? [copy]) {
      panel.width = width;
      // A title wider than its panel would shrink the whole drawing.
      panel.title.limit = width;
    }
    return copy;
  };

  async function draw(figure) {
    const { spec, data } = drawings[figure.dataset.figure];
    const canvas = figure.querySelector(".canvas");
    const sized = fitted(spec, room(canvas, spec));
    const rows = data.map((name) => [name, spread(report.data[name])]);
    sized.datasets = { ...sized.datasets, ...Object.fromEntries(rows) };
    const options = { renderer: "svg", actions: false, ast: true, tooltip: { theme: "custom", disableDefaultStyle: true } };
    const { view } = await vegaEmbed(canvas, sized, options);
    views.set(figure, view);
    steer(figure, view);
  }

  function steer(figure, view) {
    for (const select of figure.querySelectorAll("select[data-parameter]")) {
      select.onchange = () => view.signal(select.dataset.parameter, select.value).runAsync();
      if (select.value) select.onchange();
    }
    for (const group of figure.querySelectorAll("[data-toggles]")) {
      const boxes = [...group.querySelectorAll("input")];
      group.onchange = () =>
        view.signal(group.dataset.toggles, boxes.filter((b) => b.checked).map((b) => b.value)).runAsync();
    }
    const zoom = drawings[figure.dataset.figure].zoom;
    if (!zoom) return;
    const whole = span(report.data[zoom]);
    const show = (from, until) => view.signal("zoom_time", [from, until]).runAsync();
    const now = () => {
      const shown = view.signal("zoom_time");
      return shown ? shown.map(Number) : whole;
    };
    const moves = {
      in: ([a, b]) => show(a + (b - a) / 4, b - (b - a) / 4),
      out: ([a, b]) => show(Math.max(whole[0], a - (b - a) / 2), Math.min(whole[1], b + (b - a) / 2)),
      earlier: ([a, b]) => show(a - (b - a) / 4, b - (b - a) / 4),
      later: ([a, b]) => show(a + (b - a) / 4, b + (b - a) / 4),
      all: () => view.signal("zoom_time", null).runAsync(),
    };
    for (const button of figure.querySelectorAll("[data-zoom]")) button.onclick = () => moves[button.dataset.zoom](now());
    const keys = { "+": "in", "=": "in", "-": "out", ArrowLeft: "earlier", ArrowRight: "later", Escape: "all", 0: "all" };
    figure.querySelector(".canvas").onkeydown = (event) => {
      const move = keys[event.key];
      if (!move || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      moves[move](now());
    };
    for (const button of document.querySelectorAll("[data-at]")) {
      button.onclick = () => {
        const at = 1000 * button.dataset.at;
        show(at - 3600e3, at + 3600e3);
        figure.scrollIntoView({ block: "start" });
      };
    }
  }

  const span = (data) => {
    const times = Object.values(data.at).flat();
    return [1000 * times.reduce((a, b) => Math.min(a, b)), 1000 * times.reduce((a, b) => Math.max(a, b))];
  };

  function refit() {
    for (const [figure, view] of views) {
      const { spec } = drawings[figure.dataset.figure];
      const width = room(figure.querySelector(".canvas"), spec);
      for (const name of ["width", "childWidth"]) {
        try {
          view.signal(name, width);
        } catch {
          continue;
        }
      }
      view.runAsync();
    }
  }

  for (const table of document.querySelectorAll(".table[data-more]")) {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "more" });
    const label = () => {
      const open = table.classList.contains("all");
      button.textContent = open ? "Fewer columns" : `${table.dataset.more} more column${table.dataset.more === "1" ? "" : "s"}`;
      button.setAttribute("aria-expanded", open);
    };
    button.onclick = () => {
      table.classList.toggle("all");
      label();
    };
    label();
    table.append(button);
  }

  document.getElementById("save").onclick = (event) => {
    const link = document.createElement("a");
    const text = document.getElementById("report").textContent;
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = event.target.dataset.file;
    link.click();
    URL.revokeObjectURL(link.href);
  };

  let waiting = 0;
  window.addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(refit, 120);
  });

  // A folded chart has no width yet: it is drawn when it is opened.
  const figures = [...document.querySelectorAll("figure[data-figure]")];
  const visible = figures.filter((f) => f.offsetParent !== null);
  for (const folded of document.querySelectorAll("details")) {
    folded.addEventListener("toggle", () => {
      for (const figure of folded.querySelectorAll("figure")) if (folded.open && !views.has(figure)) draw(figure);
    });
  }
  Promise.all(visible.map(draw)).then(() => document.documentElement.setAttribute("data-drawn", "yes"));
})();
