// What is wrong with the layout of a page: text that is cut off, that overlaps other text, or that lies outside.
() => {
  // What is for screen readers alone is one pixel large.
  const isForReaders = (element) => {
    if (element.closest(".hidden, .skip")) return true;
    const head = element.closest("thead");
    return head !== null && head.getBoundingClientRect().width <= 1;
  };
  const isShown = (element) =>
    element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) && !isForReaders(element);
  const texts = [];
  const walker = document.createTreeWalker(document.body ?? document.documentElement, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const element = node.parentElement;
    if (!node.data.trim() || !element || element.closest("script, style, option, title")) continue;
    if (!isShown(element)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      if (box.width > 1 && box.height > 1) texts.push({ element, box, text: node.data.trim().slice(0, 60) });
    }
  }
  const faults = [];
  const width = document.documentElement.clientWidth;
  for (const { element, box, text } of texts) {
    let scrolls = false;
    for (let outer = element; outer && outer !== document.documentElement; outer = outer.parentElement) {
      const style = getComputedStyle(outer);
      if (style.display === "inline") continue;
      if (/auto|scroll/.test(style.overflowX)) {
        scrolls = true;
        continue;
      }
      if (scrolls || !/hidden|clip/.test(style.overflowX + style.overflowY)) continue;
      const frame = outer.getBoundingClientRect();
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
        faults.push(`cut: ${text}`);
    }
    if (!scrolls && (box.left < -1 || box.right > width + 1)) faults.push(`outside: ${text}`);
  }
  // From top to bottom, so that each box is compared with its neighbours alone.
  texts.sort((one, other) => one.box.top - other.box.top);
  texts.forEach((one, place) => {
    for (let next = place + 1; next < texts.length && texts[next].box.top < one.box.bottom - 3; next++) {
      const other = texts[next];
      const across = Math.min(one.box.right, other.box.right) - Math.max(one.box.left, other.box.left);
      const down = Math.min(one.box.bottom, other.box.bottom) - Math.max(one.box.top, other.box.top);
      // Line boxes of a tight heading touch; letters are lower than their boxes.
      if (across > 1.5 && down > 4 && one.element.closest(".scroll") === other.element.closest(".scroll"))
        faults.push(`overlap: ${one.text} / ${other.text}`);
    }
  });
  for (const table of document.querySelectorAll("table.rows")) {
    const scroll = table.closest(".scroll");
    if (width < 600 && scroll && isShown(scroll) && scroll.scrollWidth > scroll.clientWidth + 1)
      faults.push(`scrolls sideways: ${scroll.getAttribute("aria-label")}`);
  }
  if (document.documentElement.scrollWidth > width + 1 && document.body) faults.push("the page scrolls sideways");
  return [...new Set(faults)];
}
