"use strict";
(() => {
  const kinds = {
    "/set-password": { title: "Choose your password", lead: "Your account is ready. This link works once.", post: "/v1/auth/password/set", done: "Your password is set. You can sign in now." },
    "/reset-password": { title: "Choose a new password", lead: "This link works once. Your other sessions will end; a second factor, if you have one, is still asked for.", post: "/v1/auth/password/reset", done: "Your password is changed. You can sign in now." },
    "/accept-invitation": { title: "Accept the invitation", lead: "Choose a password to join. This link works once.", post: "/v1/auth/invitations/accept", fields: ["name"], done: "Welcome. You can sign in now." },
    "/setup": { title: "Make the first operator", lead: "This account can manage every organization of this installation. This link works once.", post: "/v1/setup", fields: ["email", "name"], done: "The operator is made. You can sign in now." },
  };
  const $ = (id) => document.getElementById(id);
  const kind = kinds[location.pathname];
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  history.replaceState(null, "", location.pathname); // the secret does not stay in the address bar or the history
  document.title = kind.title + " · Gatehouse";
  $("title").textContent = kind.title;
  if (!token) {
    $("lead").textContent = "The link is incomplete. Open it again exactly as you received it.";
    return;
  }
  $("lead").textContent = kind.lead;
  for (const field of kind.fields || []) {
    $(field + "-field").hidden = false;
    $(field).required = field === "email";
  }
  $("form").hidden = false;
  $("form").querySelector(".field:not([hidden]) input").focus();

  $("reveal").addEventListener("click", () => {
    const shown = $("password").type === "text";
    $("password").type = shown ? "password" : "text";
    $("reveal").textContent = shown ? "Show" : "Hide";
    $("reveal").setAttribute("aria-pressed", String(!shown));
  });

  $("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    $("error").hidden = true;
    $("submit").disabled = true;
    const body = { token, password: $("password").value };
    for (const field of kind.fields || []) if ($(field).value.trim()) body[field] = $(field).value.trim();
    let message = "The server cannot be reached. Try again.";
    try {
      const answer = await fetch(kind.post, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), credentials: "omit" });
      if (answer.ok) {
        $("form").remove();
        $("title").textContent = "Done";
        $("lead").textContent = kind.done;
        return;
      }
      const problem = await answer.json();
      const first = (problem.errors || [])[0];
      message = first ? "The " + first.field + " " + first.message + "." : problem.detail;
    } catch { /* keeps the message */ }
    $("error").textContent = message;
    $("error").hidden = false;
    $("submit").disabled = false;
  });
})();
