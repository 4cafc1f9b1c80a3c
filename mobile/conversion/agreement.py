"""How well two forms of a model agree, as a record."""

from dataclasses import dataclass

from mobile.record import Count, Distance, Record, Share, table


@dataclass(frozen=True)
class Blame(Record):
    """How far one layer's output in the candidate is from the reference's.

    Signal-to-noise is that of what the next layers make of it: see `mobile.verify`.
    """

    layer: str
    worst_abs: Distance
    mean_abs: Distance
    signal_to_noise_db: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Agreement(Record):
    """How well a candidate's outputs agree with its reference's on the same images.

    Args:
        images: How many.
        top1_agreement: Share of images on which both have the same largest output.
        worst_abs: Largest difference of any output value.
        mean_abs: Mean difference of the output values.
        accuracy: Share of right answers of each side, by its name; None without labels.
        blame: Per layer, in order, where that was asked for.
        pitfalls: What looks wrong, in sentences.
        reference: Name of one side.
        candidate: Name of the other side.
    """

    images: Count
    top1_agreement: Share
    worst_abs: Distance
    mean_abs: Distance
    accuracy: dict[str, Share] | None = None
    blame: tuple[Blame, ...] = ()
    pitfalls: tuple[str, ...] = ()
    reference: str = "keras"
    candidate: str = "tflite"

    def __str__(self):
        rows = [
            ("images", str(self.images)),
            ("top-1 agreement", f"{self.top1_agreement:.1%}"),
            ("worst difference", f"{self.worst_abs:.3g}"),
            ("mean difference", f"{self.mean_abs:.3g}"),
        ]
        rows += [(f"accuracy {k}", f"{v:.1%}") for k, v in (self.accuracy or {}).items()]
        text = table((self.candidate, f"against {self.reference}"), rows)
        if self.blame:
            header = ("layer", "worst", "mean", "SNR dB", "note")
            blame = [
                (
                    b.layer,
                    b.worst_abs,
                    b.mean_abs,
                    "" if b.signal_to_noise_db is None else b.signal_to_noise_db,
                    b.note,
                )
                for b in self.blame
            ]
            text += "\n\n" + table(header, blame)
        return text + "".join(f"\n! {pitfall}" for pitfall in self.pitfalls)
