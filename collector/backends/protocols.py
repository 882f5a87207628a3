"""Protocols of IP by the names that programs write: IANA's, and those of /etc/protocols."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_TABLE: Final = """
hopopt 0 ip 0 icmp 1 igmp 2 ggp 3 ipv4 4 ipip 4 ipencap 4 st 5 tcp 6 cbt 7 egp 8 igp 9 pup 12 udp 17
hmp 20 xns-idp 22 rdp 27 iso-tp4 29 dccp 33 xtp 36 ddp 37 ipv6 41 ipv6-route 43 ipv6-frag 44 idrp 45
rsvp 46 gre 47 dsr 48 esp 50 ipv6-esp 50 ah 51 ipv6-ah 51 narp 54 mobile 55 ipv6-icmp 58 icmpv6 58
icmp6 58 ipv6-nonxt 59 ipv6-opts 60 vmtp 81 eigrp 88 ospf 89 ospfigp 89 mtp 92 ax.25 93 etherip 97
encap 98 pim 103 ipcomp 108 vrrp 112 carp 112 pgm 113 l2tp 115 isis 124 sctp 132 fc 133
mobility-header 135 udplite 136 mpls-in-ip 137 manet 138 shim6 139 wesp 141 rohc 142 ethernet 143
"""
_NAMES: Final = _TABLE.split()
NUMBERS: Final[Mapping[str, int]] = {
    name: int(number) for name, number in zip(_NAMES[::2], _NAMES[1::2], strict=True)
}
"""Numbers by name, in small letters."""
