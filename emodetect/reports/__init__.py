"""Reports of evaluations, comparisons and audits: files, HTML pages and plots."""
