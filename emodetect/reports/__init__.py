"""The files and pages that an evaluation, a comparison or an audit leaves behind."""
