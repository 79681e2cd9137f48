"use strict";
(function () {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const phone = window.matchMedia("(max-width: 40rem)");
  const sources = Array.from(document.querySelectorAll("script[data-figure]"));
  const config = {
    responsive: true, displaylogo: false, showSendToCloud: false, plotlyServerURL: "", modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
  };

  function theme() {
    return root.dataset.theme || (dark.matches ? "dark" : "light");
  }

  // The dark blue of the palette is weak on a dark ground: there it changes places with the light one.
  function recoloured(text, night) {
    const other = { "#0072B2": "#56B4E9", "#56B4E9": "#0072B2", "rgba(0,114,178": "rgba(86,180,233" };
    return night ? text.replace(/#0072B2|#56B4E9|rgba\(0,114,178/g, function (c) { return other[c]; }) : text;
  }

  function dressed(layout, night) {
    const ink = night ? "#e8eaed" : "#1b1f24";
    const lines = {
      gridcolor: night ? "rgba(255,255,255,.14)" : "rgba(0,0,0,.12)",
      zerolinecolor: night ? "rgba(255,255,255,.5)" : "rgba(0,0,0,.5)",
    };
    Object.assign(layout.font, { color: ink });
    Object.keys(layout).filter(function (key) { return /^[xy]axis\d*$/.test(key); })
      .forEach(function (key) { Object.assign(layout[key], lines); });
    layout.margin = phone.matches ? Object.assign({}, layout.margin, { r: 4 }) : layout.margin;
    layout.hoverlabel = { bgcolor: night ? "#1e2329" : "#ffffff", font: { color: ink } };
    layout.modebar = { bgcolor: "rgba(0,0,0,0)", color: night ? "#a9b1ba" : "#545c66", activecolor: ink };
    return layout;
  }

  function draw(name, paperWidth) {
    const night = name === "dark", narrow = phone.matches && !paperWidth;
    config.displayModeBar = narrow ? false : "hover";
    return Promise.all(sources.map(function (source) {
      const figure = JSON.parse(recoloured(source.textContent, night));
      // On a phone the legend is a column: it must not eat the figure.
      const named = figure.data.filter(function (trace) { return trace.name && trace.showlegend !== false; });
      if (narrow) {
        Object.assign(figure.layout, (figure.layout.meta || {}).narrow);
        figure.layout.height += 19 * Math.max(0, named.length - 3);
        figure.layout.legend.maxheight = 20 * named.length + 20;
      }
      if (paperWidth) {
        figure.layout.width = paperWidth;
        figure.layout.height *= 0.75;
      }
      const plot = document.getElementById("figure-" + source.dataset.figure);
      if ((narrow || paperWidth) && figure.data[0].type === "sankey") {
        const bands = figure.data[0];
        bands.textfont.size = 11;
        bands.node.label = bands.node.label.map(function (label) { return label.replace(": ", "<br>"); });
      }
      Plotly.purge(plot); // a figure that is drawn over moves for a while, and paper does not wait
      return Plotly.newPlot(plot, figure.data, dressed(figure.layout, night), config);
    }));
  }

  function dress() {
    button.textContent = theme() === "dark" ? "Light" : "Dark";
    button.setAttribute("aria-label", "Switch to " + button.textContent.toLowerCase() + " colours");
    return draw(theme());
  }

  function remember(name) {
    try { localStorage.setItem("wattswap-theme", name); } catch (error) { /* a file may have no storage */ }
  }

  function remembered() {
    try { return localStorage.getItem("wattswap-theme"); } catch (error) { return null; }
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
  phone.addEventListener("change", dress);
  const folded = Array.from(document.querySelectorAll("details.more"));
  let open = [];
  window.addEventListener("beforeprint", function () {
    open = folded.filter(function (part) { return part.open; });
    folded.forEach(function (part) { part.open = true; });
    draw("light", 640);
  });
  window.addEventListener("afterprint", function () {
    folded.forEach(function (part) { part.open = open.includes(part); });
    draw(theme());
  });
  dress().then(function () { root.dataset.figures = String(sources.length); });
})();
