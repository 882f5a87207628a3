"""A run as it happens, on a page: links, what each exporter knows, datagrams, the verdict.

follow: reads a run folder that still grows. serve: the page's server. `page.html`: the page.
"""
