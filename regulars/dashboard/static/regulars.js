// Searches the customers' page while the owner types. Without this script, the form's button does the same.
const form = document.getElementById("filters");
const WAIT = 250; // milliseconds after the last key

if (form) {
  let timer;
  let pending;

  const show = async () => {
    clearTimeout(timer);
    pending?.abort();
    pending = new AbortController();
    const filled = [...new FormData(form)].filter(([, value]) => value !== "");
    const address = `${form.action}?${new URLSearchParams(filled)}`;
    document.getElementById("results").setAttribute("aria-busy", "true");
    try {
      const response = await fetch(address, { signal: pending.signal, credentials: "same-origin" });
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const results = page.getElementById("results");
      // If the session has ended or the database is down, the page itself says so best.
      if (!response.ok || !results) return location.assign(address);
      document.getElementById("results").replaceWith(results);
      // The switches to another shop and to another language keep the filters.
      for (const kept of [".shops ul", ".languages"])
        document.querySelector(kept)?.replaceWith(page.querySelector(kept));
      showCopyButtons();
      history.replaceState(null, "", address);
    } catch (error) {
      if (error.name !== "AbortError") location.assign(address);
    }
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    show();
  });
  // Only selects: a text field also fires `change` when it loses focus, for a click on a result, say.
  form.addEventListener("change", (event) => {
    if (event.target.matches("select")) show();
  });
  form.addEventListener("input", (event) => {
    if (event.target.type !== "search") return;
    clearTimeout(timer);
    timer = setTimeout(show, WAIT);
  });
}

// A click elsewhere or Escape closes the list of shops.
const shops = document.querySelector("details.shops");
if (shops) {
  document.addEventListener("click", (event) => {
    if (!shops.contains(event.target)) shops.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") shops.open = false;
  });
}

// Copies a phone number, or all those of the filtered list. Without this script the buttons stay hidden.
const showCopyButtons = () => {
  for (const button of document.querySelectorAll("[data-copy], [data-copy-all]")) button.hidden = false;
};

const copy = async (text) => {
  // A promise, because a browser may forget the click while the numbers are on their way.
  const blob = Promise.resolve(text).then((copied) => new Blob([copied], { type: "text/plain" }));
  await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
};

const fetchPhones = async (address) => {
  const response = await fetch(address, { credentials: "same-origin" });
  if (!response.ok) throw new Error("not loaded");
  return response.text();
};

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy], [data-copy-all]");
  if (!button) return;
  const { copy: phone, copyAll: address, done } = button.dataset;
  try {
    await copy(phone ?? fetchPhones(address));
    button.textContent = done;
  } catch {
    // The browser doesn't let a page write to its clipboard: the numbers themselves are the next best.
    if (address) location.assign(address);
  }
});

showCopyButtons();
