"""OpenFlow controllers on Ryu, an application each, to be opened and understood.

The modules that hold a class of Ryu's are loaded in the controller's own process, inside the
capsule, and nowhere else. What is known of them outside is in `lab.controllers.settings`: what a
scenario may choose of each, and what each does to flows, which the expectation follows.

To add one, write the application here and its settings there.
"""
