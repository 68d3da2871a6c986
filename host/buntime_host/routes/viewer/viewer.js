// Shows the document beside this page. Requests go to this host alone, with the session of the page.
window.SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#viewer",
  deepLinking: true,
  docExpansion: "none",
  validatorUrl: null,
  withCredentials: true,
});
