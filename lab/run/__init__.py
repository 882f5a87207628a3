"""What happens inside the capsule: the network, the private switch, the traffic, the witnesses."""
