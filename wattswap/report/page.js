"use strict";
(function () {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const drawn = [];

  function theme() {
    return root.dataset.theme || (dark.matches ? "dark" : "light");
  }

  function paint(asTheme) {
    const night = asTheme === "dark";
    const ink = night ? "#e8eaed" : "#1b1f24";
    const grid = night ? "rgba(255,255,255,.14)" : "rgba(0,0,0,.12)";
    const zero = night ? "rgba(255,255,255,.5)" : "rgba(0,0,0,.5)";
    const look = {
      "font.color": ink,
      "xaxis.gridcolor": grid, "yaxis.gridcolor": grid,
      "xaxis.zerolinecolor": zero, "yaxis.zerolinecolor": zero,
      "hoverlabel.bgcolor": night ? "#1e2329" : "#ffffff", "hoverlabel.font.color": ink,
    };
    return Promise.all(drawn.map(function (plot) {
      return Plotly.relayout(plot, look).then(function () {
        const bands = plot.data[0] && plot.data[0].type === "sankey";
        return bands ? Plotly.restyle(plot, { "textfont.color": ink, "textfont.shadow": "none" }) : null;
      });
    }));
  }

  function dress() {
    button.textContent = theme() === "dark" ? "Light" : "Dark";
    button.setAttribute("aria-label", "Switch to " + button.textContent.toLowerCase() + " colours");
    return paint(theme());
  }

  function remember(name) {
    try { localStorage.setItem("wattswap-theme", name); } catch (error) { /* a file may have no storage */ }
  }

  function remembered() {
    try { return localStorage.getItem("wattswap-theme"); } catch (error) { return null; }
  }

  function draw() {
    const config = {
      responsive: true, displaylogo: false, scrollZoom: false,
      modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
    };
    document.querySelectorAll("script[data-figure]").forEach(function (source) {
      const plot = document.getElementById(source.dataset.figure);
      const figure = JSON.parse(source.textContent);
      config.displayModeBar = window.innerWidth < 640 ? false : "hover";
      Plotly.newPlot(plot, figure.data, figure.layout, config);
      drawn.push(plot);
    });
  }

  const stored = remembered();
  if (stored === "light" || stored === "dark") { root.dataset.theme = stored; }
  button.hidden = false;
  button.addEventListener("click", function () {
    root.dataset.theme = theme() === "dark" ? "light" : "dark";
    remember(root.dataset.theme);
    dress();
  });
  dark.addEventListener("change", dress);
  window.addEventListener("beforeprint", function () { paint("light"); });
  window.addEventListener("afterprint", function () { paint(theme()); });
  draw();
  dress().then(function () { root.dataset.figures = String(drawn.length); });
})();
