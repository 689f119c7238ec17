from mimic.defenses import FineTune
from mimic.defenses.plans import steady_adam
from mimic.training import Plan


def test_the_settings_of_the_defence_are_those_of_the_plan():
    defense = FineTune(epochs=3, batch_size=5, learning_rate=0.2, seed=7)
    assert steady_adam(defense) == Plan(
        epochs=3,
        batch_size=5,
        learning_rate=0.2,
        optimizer="adam",
        weight_decay=1e-6,
        schedule="constant",
        seed=7,
    )
