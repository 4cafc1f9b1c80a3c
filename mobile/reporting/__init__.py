"""Tables, pages and plots: the only place that formats and draws."""
