// A classic script in the head: the page's first paint already has the colours that were chosen before.
"use strict";
{
  const root = document.documentElement;
  const choose = (theme) => {
    if (theme) root.dataset.theme = theme;
    else delete root.dataset.theme;
  };
  let remembered = "";
  try {
    remembered = localStorage.getItem("theme") ?? "";
  } catch {
    // Storage is forbidden: the system's colours are used, and a choice holds until the page is left.
  }
  choose(remembered);
  document.addEventListener("DOMContentLoaded", () => {
    const select = document.getElementById("theme");
    select.value = remembered;
    select.addEventListener("change", () => {
      choose(select.value);
      try {
        localStorage.setItem("theme", select.value);
      } catch {
        // As above.
      }
    });
  });
}
