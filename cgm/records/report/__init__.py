"""Reports and certificates of settlements as HTML pages."""
