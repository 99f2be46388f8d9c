"""The page in the browser: its HTML, CSS and JavaScript, and the routes that serve them."""
