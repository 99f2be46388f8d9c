"""The web page: its HTML, CSS and JavaScript, and the routes that serve them; the page of the API."""
