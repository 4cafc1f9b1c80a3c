"""Labelled images as arrays: a folder of images, arrays of yours, or the embedded digits."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

DIGITS = "digits"  # the word for the embedded ones; a folder of that name is ./digits
IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
DIGITS_SIZE = 48
_DIGIT_CLASSES = tuple("0123456789")
PHOTO_SIZE = 224


@dataclass(frozen=True)
class DataSet:
    """Images in two parts, training and test, with a class index for each.

    Attributes:
        name: Short name, used for the output folder.
        classes: Class names; `y` holds their indices.
        x_train, x_test: RGB pixels 0 to 255, uint8, `(images, height, width, 3)`.
        y_train, y_test: Class indices, int64, `(images,)`.
        remarks: What was done to images that were not plain RGB of the wanted size.
        skipped: Paths of broken images that were left out.
    """

    name: str
    classes: tuple[str, ...]
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    remarks: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Height and width of every image."""
        return self.x_train.shape[1]

    def describe(self) -> dict:
        """Say in plain values what the data set holds, for results.json."""
        return {
            "name": self.name,
            "classes": list(self.classes),
            "train_images": len(self.x_train),
            "test_images": len(self.x_test),
            "size": self.size,
            "remarks": list(self.remarks),
            "skipped": list(self.skipped),
        }


def load(
    folder: str | Path | None = None,
    size: int | None = None,
    validation_split: float | None = None,
    seed: int = 0,
    strict: bool = False,
) -> DataSet:
    """Read a folder of images, or the embedded handwritten digits.

    A folder holds `train/CLASS/*` and `test/CLASS/*`, or `CLASS/*` with `validation_split`.
    Images become square RGB: the shorter side is scaled to `size` and the middle is cut out;
    grey-scale is repeated on three channels, transparent parts become white.

    Args:
        folder: The folder; None or the word `digits` for scikit-learn's 1,797 digits of 8x8
            pixels, enlarged.
        size: Height and width wanted; None means 48 for the digits and 224 for a folder.
        validation_split: Share of each class that becomes the test part, between 0 and 1.
            The digits take 0.2 if None is given.
        seed: Decides the split.
        strict: Whether a broken image is an error; else it is left out and named in `skipped`.

    Raises:
        ValueError: No images, an empty class, unequal classes, a broken image under `strict`.

    Example:

    >>> digits = load(size=16)
    >>> digits.x_train.shape, digits.x_test.shape, digits.classes[:3]
    ((1438, 16, 16, 3), (359, 16, 16, 3), ('0', '1', '2'))
    """
    if size is not None and not (isinstance(size, int) and 8 <= size <= 1024):
        raise ValueError(
            f"`size` must be a whole number of pixels from 8 to 1024. Received: size={size!r}. "
            f"Leave it out for {DIGITS_SIZE} (digits) or {PHOTO_SIZE} (a folder)."
        )
    if validation_split is not None and not 0 < validation_split < 1:
        raise ValueError(
            f"`validation_split` must be the share of each class to test on, above 0 and below 1. "
            f"Received: validation_split={validation_split!r}. Pass 0.2 for one image in five."
        )
    if is_digits(folder):
        return _load_digits(size or DIGITS_SIZE, validation_split or 0.2, seed)
    return _load_folder(Path(str(folder)), size or PHOTO_SIZE, validation_split, seed, strict)


def from_arrays(
    x_train: Any,
    y_train: Any,
    x_test: Any,
    y_test: Any,
    classes: Sequence[str] | None = None,
    name: str = "arrays",
) -> DataSet:
    """Make a data set of arrays: RGB pixels 0 to 255 and class indices.

    >>> pixels, labels = np.zeros((4, 32, 32, 3), "uint8"), np.array([0, 1, 0, 1])
    >>> from_arrays(pixels, labels, pixels, labels).classes
    ('0', '1')
    """
    parts = []
    for part, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        x, y = np.asarray(x), np.asarray(y)
        if x.ndim != 4 or x.shape[1] != x.shape[2] or x.shape[3] != 3 or len(x) == 0:
            raise ValueError(
                f"Images must be `(images, size, size, 3)`. "
                f"Received: x_{part} of shape {x.shape}. Crop to squares and repeat grey 3 times."
            )
        if x.dtype != np.uint8 and (x.min() < 0 or x.max() > 255 or x.max() <= 1):
            raise ValueError(
                f"Images must hold RGB pixels 0 to 255. Received: x_{part} of {x.dtype} from "
                f"{x.min():g} to {x.max():g}. Scale them back; the network has its own scaling."
            )
        if y.shape != (len(x),) or y.dtype.kind not in "iu" or y.min() < 0:
            raise ValueError(
                f"Labels must be one class index an image. Received: y_{part} of shape {y.shape} "
                f"and dtype {y.dtype} for {len(x)} images. Pass int64 indices counted from 0."
            )
        parts += [np.rint(x).astype(np.uint8), y.astype(np.int64)]
    count = int(max(parts[1].max(), parts[3].max())) + 1
    if classes is not None and len(classes) < count:
        raise ValueError(
            f"`classes` must name every class index. Received: {len(classes)} names, and labels "
            f"up to {count - 1}. Pass {count} names, or None."
        )
    names = tuple(map(str, classes)) if classes is not None else tuple(map(str, range(count)))
    return DataSet(name, names, *parts)


def load_images(
    folder: str | Path | None = None,
    size: int = PHOTO_SIZE,
    count: int = 200,
    seed: int = 0,
    part: str = "train",
) -> np.ndarray:
    """Read images without labels, such as those to calibrate on, from anywhere below a folder.

    Args:
        folder: The folder; None or the word `digits` for the embedded digits.
        size: Height and width wanted.
        count: How many at most; if there are more, `seed` draws them.
        seed: Decides which.
        part: `train` or `test`: the one to read of the digits, and of a folder that has both.

    Returns:
        RGB pixels, uint8, `(images, size, size, 3)`, prepared as `load` does.
    """
    return load_named_images(folder, size, count, seed, part)[0]


def load_named_images(
    folder: str | Path | None, size: int, count: int, seed: int = 0, part: str = "train"
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read images as `load_images` does, with the folder of `folder` that each lies in.

    That is the image's class, where `class_names` lists classes.
    """
    if count < 1:
        raise ValueError(
            f"`count` must be at least 1. Received: count={count}. For calibration, take 200."
        )
    if part not in ("train", "test"):
        raise ValueError(
            f"`part` must be train or test. Received: {part!r}. Calibrate on train, judge on test."
        )
    random = np.random.default_rng(seed)
    if is_digits(folder):
        digits = _load_digits(size, 0.2, seed)
        x, y = getattr(digits, f"x_{part}"), getattr(digits, f"y_{part}")
        chosen = np.sort(random.permutation(len(x))[:count])
        return x[chosen], tuple(_DIGIT_CLASSES[i] for i in y[chosen])
    place = _part(Path(str(folder)), part)
    paths = _images(place) if place.is_dir() else []
    reader = _Reader(size, strict=False)
    drawn = (paths[i] for i in random.permutation(len(paths)))
    read = ((reader.read_one(path), path.relative_to(place).parts[0]) for path in drawn)
    found = list(itertools.islice((one for one in read if one[0] is not None), count))
    if not found:
        raise ValueError(
            f"There must be images to read. Found none below {place} that ends in "
            f"{', '.join(IMAGE_SUFFIXES)} and is whole. Pass a folder of images."
        )
    x, names = zip(*found, strict=True)
    return np.stack(x), names


def class_names(folder: str | Path | None) -> tuple[str, ...]:
    """Return the names of the classes that images lie in folders of; none where they lie in none.

    >>> class_names("digits")[-2:]
    ('8', '9')
    """
    if is_digits(folder):
        return _DIGIT_CLASSES
    place = _part(Path(str(folder)), "train")
    if not place.is_dir() or any(p.suffix.lower() in IMAGE_SUFFIXES for p in place.iterdir()):
        return ()
    names = tuple(name for name, full in _class_folders(place).items() if full)
    return names if len(names) > 1 else ()


def is_digits(folder: str | Path | None) -> bool:
    """Tell whether the embedded digits are meant: by None, or by the word if no folder has it."""
    if folder == DIGITS and Path(DIGITS).is_dir():
        raise ValueError(
            f"The word {DIGITS} must mean one thing. Received: it, and {Path(DIGITS).absolute()} "
            f"is a folder. Pass ./{DIGITS} for that, or move it for the embedded digits."
        )
    return folder is None or folder == DIGITS


def _part(folder: Path, part: str) -> Path:
    """The part of that name of a folder that has two, else the folder itself."""
    both = (folder / "train").is_dir() and (folder / "test").is_dir()
    return folder / part if both else folder


def _class_folders(folder: Path) -> dict[str, bool]:
    """The folders in a folder, hidden ones left out, and whether each holds images."""
    folders = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    return {p.name: bool(_images(p)) for p in folders}


def _load_digits(size: int, validation_split: float, seed: int) -> DataSet:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "The embedded digits need scikit-learn. Install it with: pip install 'keras-se[mobile]'"
        ) from error
    from PIL import Image

    values, y = load_digits(return_X_y=True)  # y is int64
    pixels = np.rint(values.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)  # of 0 to 16
    enlarged = (Image.fromarray(p).resize((size, size), Image.Resampling.BICUBIC) for p in pixels)
    x = np.repeat(np.stack([np.asarray(e) for e in enlarged])[..., None], 3, axis=-1)
    train, test = _split(y, validation_split, seed, "the digits")
    return DataSet("digits", _DIGIT_CLASSES, x[train], y[train], x[test], y[test])


def _load_folder(
    folder: Path, size: int, validation_split: float | None, seed: int, strict: bool
) -> DataSet:
    if not folder.is_dir():
        raise ValueError(
            f"The data must be a folder of images. Received: {folder}, which "
            f"{'is a file' if folder.exists() else 'does not exist'}. "
            f"Pass one with train/CLASS/* and test/CLASS/*, or CLASS/*."
        )
    reader = _Reader(size, strict)
    if _part(folder, "train") != folder:
        if validation_split is not None:
            raise ValueError(
                f"`validation_split` is for a folder without a test part. Received: "
                f"validation_split={validation_split} and {folder / 'test'}. Leave it out."
            )
        classes, other = _classes(folder / "train"), _classes(folder / "test")
        if classes != other:
            odd = sorted(set(classes) ^ set(other))
            raise ValueError(
                f"train and test must have the same classes. In {folder} only one of them has: "
                f"{', '.join(odd)}. Add the missing folder, or remove the other."
            )
        train, test = (reader.read(folder / part, classes) for part in ("train", "test"))
    else:
        classes = _classes(folder)
        if validation_split is None:
            raise ValueError(
                f"There must be images to test on. {folder} has no train and test folders. "
                f"Pass --validation-split 0.2 (validation_split=0.2) to test on one in five."
            )
        x, y = reader.read(folder, classes)
        parts = _split(y, validation_split, seed, str(folder), classes)
        train, test = ((x[part], y[part]) for part in parts)
    name, skipped = folder.resolve().name, tuple(reader.skipped)
    return DataSet(name, classes, *train, *test, reader.remarks(), skipped)


def _images(folder: Path) -> list[Path]:
    """List the image files of a folder and the folders in it, hidden ones left out."""
    return sorted(
        p
        for p in folder.rglob("*")
        if p.suffix.lower() in IMAGE_SUFFIXES
        and p.is_file()
        and not any(part.startswith(".") for part in p.relative_to(folder).parts)
    )


def _classes(folder: Path) -> tuple[str, ...]:
    """Name the class folders, after a check that each has images."""
    found = _class_folders(folder)
    if not any(found.values()):
        raise ValueError(
            f"There must be images in class folders. Found none in {folder}: no CLASS/* ending in "
            f"{', '.join(IMAGE_SUFFIXES)}. Give each class a folder of its own there."
        )
    empty = [name for name, full in found.items() if not full]
    if empty:
        raise ValueError(
            f"Every class must have images. Empty in {folder}: {', '.join(empty)}. "
            f"Add images, or remove the folder."
        )
    if len(found) < 2:
        raise ValueError(
            f"There must be at least two classes. Found one in {folder}: {next(iter(found))}. "
            f"Give each class a folder of its own there."
        )
    return tuple(found)


def _split(y, share: float, seed: int, where: str, classes=None) -> tuple[np.ndarray, np.ndarray]:
    """Draw the test part from each class alike, and return both parts' indices in order."""
    random = np.random.default_rng(seed)
    test = np.zeros(len(y), bool)
    for label in np.unique(y):
        members = random.permutation(np.flatnonzero(y == label))
        if len(members) < 2:
            raise ValueError(
                f"A class must have two images to be split. {where} has one in "
                f"{classes[label] if classes else label}. Add images to it."
            )
        test[members[: min(max(round(share * len(members)), 1), len(members) - 1)]] = True
    return np.flatnonzero(~test), np.flatnonzero(test)


class _Reader:
    """Turns image files into square RGB arrays and keeps count of what it met."""

    def __init__(self, size: int, strict: bool):
        self.size, self.strict = size, strict
        self.skipped: list[str] = []
        self.count = self.grey = self.transparent = self.resized = 0

    def read(self, folder: Path, classes: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Read `folder/CLASS/*` for every class."""
        x, y = [], []
        for label, name in enumerate(classes):
            before = len(x)
            for path in _images(folder / name):
                pixels = self.read_one(path)
                if pixels is not None:
                    x.append(pixels)
                    y.append(label)
            if len(x) == before:
                raise ValueError(
                    f"Every class must have a readable image. All of {folder / name} are broken. "
                    f"Replace them, or remove the folder."
                )
        return np.stack(x), np.array(y, np.int64)

    def remarks(self) -> tuple[str, ...]:
        """Say what was done to how many images."""
        size = f"{self.size}x{self.size}"
        sayings = (
            (len(self.skipped), "broken and left out: " + ", ".join(self.skipped[:3])),
            (self.grey, "grey-scale, repeated on three channels"),
            (self.transparent, "with transparency, laid on white"),
            (self.resized, f"not {size}, scaled and cut to their middle"),
        )
        return tuple(f"{n} of {self.count} images {what}" for n, what in sayings if n)

    def read_one(self, path: Path) -> np.ndarray | None:
        """Read one file; None if it is broken."""
        from PIL import Image, ImageOps

        self.count += 1
        try:
            with Image.open(path) as image:
                image.load()
                image = ImageOps.exif_transpose(image)
                plain = self._to_rgb(image)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            if self.strict:
                raise ValueError(
                    f"Every image must be readable under --strict. Broken: {path} ({error}). "
                    f"Replace it, or leave out --strict to go on without it."
                ) from error
            self.skipped.append(str(path))
            return None
        if plain.size != (self.size, self.size):
            self.resized += 1
            plain = ImageOps.fit(plain, (self.size, self.size), Image.Resampling.BICUBIC)
        return np.asarray(plain)

    def _to_rgb(self, image):
        from PIL import Image

        if image.mode in ("I", "I;16", "I;16B", "I;16L", "F"):  # 16 bits or more a pixel
            values = np.asarray(image, np.float64)
            top = 1.0 if values.max() <= 1 else 255.0 if values.max() <= 255 else 65535.0
            image = Image.fromarray(np.clip(values * (255 / top), 0, 255).astype(np.uint8))
        if image.mode in ("1", "L", "LA"):
            self.grey += 1
        if image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info:
            rgba = image.convert("RGBA")
            self.transparent += int(np.asarray(rgba)[..., 3].min() < 255)
            white = Image.new("RGBA", rgba.size, "white")
            return Image.alpha_composite(white, rgba).convert("RGB")
        return image.convert("RGB")
