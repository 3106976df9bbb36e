// Measures the page it stands in and sends what it finds to the page around it. See test_browser.py.
(() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const channel = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const parse = (colour) => {
    const found = colour.match(/[\d.]+/g).map(Number);
    return { rgb: found.slice(0, 3).map((c) => c / 255), alpha: found.length > 3 ? found[3] : 1 };
  };
  const luminance = (rgb) => 0.2126 * channel(rgb[0]) + 0.7152 * channel(rgb[1]) + 0.0722 * channel(rgb[2]);
  const background = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const { rgb, alpha } = parse(getComputedStyle(at).backgroundColor);
      if (alpha === 1) return rgb;
    }
    return [1, 1, 1];
  };
  const seen = (element) => element.getClientRects().length > 0;
  const scrolls = (element) => /auto|scroll/.test(getComputedStyle(element).overflowX);
  const held = (element) => {
    for (let at = element.parentElement; at; at = at.parentElement) if (scrolls(at)) return true;
    return false;
  };

  all("details").forEach((element) => (element.open = true));

  const width = document.documentElement.clientWidth;
  const out = all("body *").filter(
    (e) => seen(e) && !e.matches(".skip, script, svg *") && !held(e) && e.getBoundingClientRect().right > width + 0.5
  );

  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.data.trim();
    if (!text || !seen(element) || element.matches("script, style, title, .skip")) continue;
    const style = getComputedStyle(element);
    const ink = parse(element.closest("svg") ? style.fill : style.color);
    const paper = background(element);
    const mixed = ink.rgb.map((c, i) => c * ink.alpha + paper[i] * (1 - ink.alpha));
    const [low, high] = [luminance(mixed), luminance(paper)].sort((a, b) => a - b);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    texts.push({ text: text.slice(0, 40), ratio: (high + 0.05) / (low + 0.05), needed: large ? 3 : 4.5 });
  }

  const outOfReach = [];
  for (const element of all("a[href], summary, [tabindex]")) {
    element.focus({ focusVisible: true });
    const ring = getComputedStyle(element).outlineStyle !== "none";
    const reached = document.activeElement === element && element.tabIndex >= 0;
    if (!reached || !ring) outOfReach.push(element.outerHTML.slice(0, 80));
  }
  const skip = document.querySelector(".skip");
  skip.focus();
  const skipShows = skip.getBoundingClientRect().left >= 0;
  skip.blur();

  const report = {
    window: innerWidth,
    page: document.documentElement.scrollWidth,
    sticking_out: out.map((e) => e.outerHTML.slice(0, 80)),
    resources: performance.getEntriesByType("resource").map((entry) => entry.name),
    headings: all("h1, h2, h3, h4, h5, h6").map((e) => Number(e.tagName[1])),
    figures: all("figure").map((figure) => {
      const svg = figure.querySelector("svg");
      const box = figure.getBoundingClientRect();
      return {
        role: svg.getAttribute("role"),
        alt: svg.getAttribute("aria-label"),
        caption: figure.querySelector("figcaption").textContent,
        break: getComputedStyle(figure).breakInside,
        height: box.height,
        right: box.right,
        drawn: svg.getBoundingClientRect().right,
      };
    }),
    tables: all("table").map((table) => ({
      name: table.getAttribute("aria-label") || (table.caption && table.caption.textContent),
      heads: table.querySelectorAll("th[scope=col]").length,
    })),
    cut_tables: all("table").filter((e) => e.scrollWidth > e.closest(".scroll").clientWidth).map((e) => e.ariaLabel),
    links: all("a[href]").length,
    out_of_reach: outOfReach,
    skip_link_shows: skipShows,
    scrolling_without_focus: all("body *")
      .filter((e) => scrolls(e) && e.scrollWidth > e.clientWidth && e.tabIndex < 0)
      .map((e) => e.outerHTML.slice(0, 80)),
    background: luminance(background(document.body)),
    texts: texts.length,
    pale: texts.filter((entry) => entry.ratio < entry.needed),
  };
  parent.postMessage({ name: location.pathname.replace(/.*\/|\.html$/g, ""), report }, "*");
})();
