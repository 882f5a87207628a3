"""A run as a page that needs nothing but a browser: figures, verdict, datagrams octet by octet.

facts: a run folder read into plain values. figures: these as Vega-Lite charts, which are data.
write: both as one HTML file, or the figures as SVG or PNG, made without a browser.
"""
