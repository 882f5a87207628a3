"""Exercises: something to find out or to program, and a check that says what is wrong with it.

Each is a folder here, ``NN-title``, with

* ``README.md``: goal, steps, and "run it and see it fail" first,
* ``exercise.yaml``: its parts (`model.Exercise`) and the hints, which open one by one,
* ``starter/``: what a learner begins with, and ``solution/``,
* ``*.yaml`` besides: profiles of `flowlab generate`, which make the exports that it is about.

To add one, add a folder; nothing has to be registered. What is checked differs per learner: the
learner's name is the seed.

model: what an exercise is. work: a learner's folder. check: its answers or its program, judged.
questions: what can be asked about exports, and its answer.
"""
