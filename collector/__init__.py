"""Datagrams in, observed flows out: receiving, recording, decoding and judging flow exports.

Knows the wire formats (NetFlow, IPFIX, sFlow, pcap). Must not know Mininet, Open vSwitch commands
or scenario files. All of it is pure (no clock, no network, no root) except `collector.receive`, the
one module that opens sockets for datagrams.
"""
