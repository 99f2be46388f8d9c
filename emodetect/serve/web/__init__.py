"""The web page: its HTML, CSS and JavaScript, and their routes; the page of the API."""
