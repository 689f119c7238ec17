"""Methods that cannot work on a finished encoder: why, and what to take instead."""

INAPPLICABLE: dict[str, str] = {
    "abl": (
        "Anti-Backdoor Learning (NeurIPS 2021) defends a training while it runs: it isolates "
        "suspicious images of the poisoned, labelled training set, and a finished encoder comes "
        "with neither that set nor labels; use finetune or mimic instead"
    ),
    "cbd": (
        "two methods have this name, and both need what a bare encoder lacks: Backdoor Defense via "
        "Deconfounded Representation Learning (CVPR 2023) trains anew on the poisoned, labelled "
        "set, and the Certified Backdoor Detector judges class probabilities; use finetune or "
        "mimic instead"
    ),
    "ep": (
        "EP (Pre-activation Distributions Expose Backdoor Neurons, NeurIPS 2022) looks for "
        "channels that clean and poisoned images of the training set drive apart, and that set is "
        "not at hand; use bnp or clp instead"
    ),
}
"""By name, what to tell whoever asks for the method; reads well after a colon."""
