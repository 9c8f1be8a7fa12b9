// Comes in with the code that `coordctl console` put behind the #: it never left the browser before.

const code = new URLSearchParams(location.hash.slice(1)).get("code");
const why = document.getElementById("why");
const next = document.querySelector("#login input[name=next]").value;

async function enter() {
  history.replaceState(null, "", location.pathname + location.search);
  why.textContent = "Logging in …";
  const answer = await fetch("/console/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ code }),
  });
  if (answer.ok) {
    location.replace(next);
    return;
  }
  const problem = await answer.json().catch(() => ({}));
  why.className = "bad";
  why.textContent =
    answer.status === 401
      ? "This link is used up or too old: each is good for one login within a minute. Ask for another with `coordctl console`."
      : problem.detail || "The login did not work.";
}

if (code) enter();
