"""The scenario language: a YAML file goes in, a checked `Scenario` or all of its faults come out.

Knows the topologies' parameters, the exporters' settings and the traffic kinds' declarations.
Must not know: Mininet, Open vSwitch, wire formats, or how a verdict is found.
"""
