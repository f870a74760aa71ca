"""Images, curves, and the page that shows them."""
