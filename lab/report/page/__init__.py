"""A run as a page: while it happens, and as a file to keep that needs nothing but a browser.

follow: a run folder read, growing or whole, into plain values. facts: a run that is over. panes,
figures: these as Vega-Lite charts, which are data. page.html, page.js: the page. serve: the page
while a run happens. write: the page as one file, or its figures as SVG or PNG, without a browser.
"""
