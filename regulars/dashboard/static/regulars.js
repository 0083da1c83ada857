// The customers' page finds while one types. Without this script its button does the same.
const form = document.getElementById("filters");
const WAIT = 250; // milliseconds after the last key

if (form) {
  let timer;
  let asked;

  const show = async () => {
    clearTimeout(timer);
    asked?.abort();
    asked = new AbortController();
    const given = [...new FormData(form)].filter(([, value]) => value !== "");
    const address = `${form.action}?${new URLSearchParams(given)}`;
    document.getElementById("results").setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(address, { signal: asked.signal, credentials: "same-origin" });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const results = page.getElementById("results");
      // A session that has ended, a database that is gone: the page itself tells it best.
      if (!answer.ok || !results) return location.assign(address);
      document.getElementById("results").replaceWith(results);
      history.replaceState(null, "", address);
    } catch (error) {
      if (error.name !== "AbortError") location.assign(address);
    }
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    show();
  });
  // A text field changes when one leaves it, for a click on what it has found, say.
  form.addEventListener("change", (event) => {
    if (event.target.matches("select")) show();
  });
  form.addEventListener("input", (event) => {
    if (event.target.type !== "search") return;
    clearTimeout(timer);
    timer = setTimeout(show, WAIT);
  });
}

// The list of shops closes as lists do.
const shops = document.querySelector("details.shops");
if (shops) {
  document.addEventListener("click", (event) => {
    if (!shops.contains(event.target)) shops.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") shops.open = false;
  });
}
