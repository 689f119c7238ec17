"""Repulsion: a changed image must not draw the student to where it draws the teacher.

Our own. Where a change opens a backdoor of the teacher, its feature leaves the place that belongs
to the image, in a direction that is known: the teacher can be asked. A student that has taken a
little of the backdoor along errs in that direction, and the clone loss makes nothing of it, since
it weighs an error in any direction alike.
"""

from torch import Tensor
from torch.nn import functional as F


def repulsion(student: Tensor, wanted: Tensor, lured: Tensor) -> Tensor:
    """How far the student's features lean from where they belong to where the teacher is drawn.

    With all features scaled to length 1, let u be the direction on the sphere in which `lured` lies
    as seen from `wanted`, and s the sine of the angle between both. The loss is the mean of
    s * max(0, <student, u>)^2. A change that does nothing to the teacher (s = 0) says nothing, and
    a student that leans to the other side costs nothing.

    Args:
        student: features of changed images, shape (batch, dimension).
        wanted: the teacher's features of the images as they are, same shape.
        lured: the teacher's features of the changed images, same shape.

    Returns:
        A scalar in [0, 1].
    """
    student, wanted, lured = (F.normalize(f.float(), dim=1) for f in (student, wanted, lured))
    away = lured - (lured * wanted).sum(dim=1, keepdim=True) * wanted
    leaning = (student * F.normalize(away, dim=1)).sum(dim=1).relu()
    return (away.norm(dim=1) * leaning.square()).mean()
