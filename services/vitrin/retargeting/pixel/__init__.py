"""What runs in browsers and shops, and sends to the collector. `README.md` here is its documentation."""
