"""A computation as a program: `tg.tape` notes what happens, prints it as plain NumPy, and runs the
text.

    t = tg.tape(f, x, w)     # f(x, w) and its backward pass
    print(t)                 # a NumPy program, line by line, forward and backward
    t.run()                  # executes the text: the same bits as the engine's

    with tg.tape() as t:     # any code, a training step with its optimiser included
        loss = model(images)
        loss.backward()
        optimizer.step()

Noting is done by an observer, and keeps references only. The program is made when it is asked for:
formulas of the calculus table are carried out once more on arrays that note each call.
"""

from .tape import Tape, tape

__all__ = ["Tape", "tape"]
