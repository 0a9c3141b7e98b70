import logging
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from segwright.bundle import BundleWriter, ClassDescription, Description, host_copy, versions
from segwright.errors import DataError, OutputExistsError, UserError
from segwright.inference import Model, load, predict_files
from segwright.networks import NetworkSpec, SegmentationNetwork, build_network
from tests.conftest import TINY_BACKBONE, blocks


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = build_network(NetworkSpec(algorithm="fcn", backbone=TINY_BACKBONE, num_classes=3)).eval()
    return write_bundle(tmp_path_factory.mktemp("bundles") / "model", network)


def write_bundle(path: Path, network: SegmentationNetwork) -> Path:
    description = Description(
        network=network.spec,
        classes=tuple(
            ClassDescription(index=index, name=f"class {index}", colour=(40 * index, 200, 10)) for index in range(3)
        ),
        label_maps={"train": {"scale": 1}, "validation": {"scale": 1}},
        hyperparameters={},
        data={},
        metrics={},
        versions=versions(),
    )
    weights = host_copy(network)
    BundleWriter(path, overwrite=False).save(description, last=weights, best=weights, records=[])
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(blocks(1)[0]).save(folder / "a.jpg")
    Image.fromarray(blocks(2, 33, 57)[0]).save(folder / "sub" / "b c.png")
    return folder


def written(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_masks_lie_below_the_same_folders_at_the_images_size(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    predict_files(bundle, [pictures], tmp_path / "out", device="cpu")
    assert written(tmp_path / "out") == {"a.png", "sub/b c.png"}
    with Image.open(tmp_path / "out" / "sub" / "b c.png") as mask:
        assert mask.mode == "P" and mask.size == (57, 33)
        indices = np.asarray(mask)
        assert mask.getpalette()[:6] == [0, 200, 10, 40, 200, 10]  # type: ignore[index]
    with Image.open(pictures / "sub" / "b c.png") as image:
        assert (indices == load(bundle, "cpu").mask(np.asarray(image))).all()


def test_overlays_and_probabilities_on_request(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict_files(bundle, [pictures / "a.jpg"], out, overlay=True, probabilities=True, device="cpu")
    assert written(out) == {"a.png", "a.overlay.png", "a.npy"}
    probabilities = np.load(out / "a.npy")
    assert probabilities.dtype == np.float32 and probabilities.shape == (3, 40, 48)
    assert np.allclose(probabilities.sum(0), 1, atol=1e-5)
    with Image.open(out / "a.png") as mask:
        assert (np.asarray(mask) == probabilities.argmax(0)).all()
    with Image.open(out / "a.overlay.png") as overlay:
        assert overlay.size == (48, 40) and overlay.mode == "RGB"


def test_masks_of_geotiffs_keep_their_place(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    place = [(33550, "d", 3, (0.5, 0.5, 0.0), True), (33922, "d", 6, (0.0, 0.0, 0.0, 4e5, 5e6, 0.0), True)]
    pixels = blocks(1)[0]
    tifffile.imwrite(pictures / "a b.tif", pixels, photometric="rgb", extratags=place)
    tifffile.imwrite(pictures / "plain.tif", pixels, photometric="rgb")
    for _ in range(2):  # the second time beside masks of the first
        predict_files(bundle, [pictures], tmp_path / "out", overlay=True, device="cpu", overwrite=True)
        masks = {"a.png", "a b.tif", "plain.png", "sub/b c.png"}
        overlays = {"a.overlay.png", "a b.overlay.png", "plain.overlay.png", "sub/b c.overlay.png"}
        assert written(tmp_path / "out") == masks | overlays
    with tifffile.TiffFile(tmp_path / "out" / "a b.tif") as file, Image.open(tmp_path / "out" / "plain.png") as plain:
        assert (file.asarray() == np.asarray(plain)).all()
        assert [file.pages.first.tags[code].value for code in (33550, 33922)] == [tag[3] for tag in place]


def test_a_geotiff_that_is_turned_upright_has_no_place(tmp_path: Path) -> None:
    torch.manual_seed(0)
    spec = NetworkSpec(algorithm="fcn", backbone=TINY_BACKBONE, num_classes=3, upright=True)
    bundle = write_bundle(tmp_path / "model", build_network(spec).eval())
    place = (33922, "d", 6, (0.0, 0.0, 0.0, 4e5, 5e6, 0.0), True)
    for name, orientation in (("a", 1), ("b", 6)):
        tags = [place, (274, "H", 1, orientation, True)]
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros((30, 50, 3), np.uint8), photometric="rgb", extratags=tags)
        predict_files(bundle, [tmp_path / f"{name}.tif"], tmp_path / "out", device="cpu", overwrite=True)
    assert written(tmp_path / "out") == {"a.tif", "b.png"}


def test_pixels_that_the_model_is_unsure_of_become_255(
    bundle: Path, pictures: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = load(bundle, "cpu")
    pixels = np.asarray(Image.open(pictures / "sub" / "b c.png"))
    highest = plain.probabilities(pixels).max(0)
    unsure = float(np.median(highest))
    with caplog.at_level(logging.INFO, "segwright"):
        predict_files(bundle, [pictures / "sub" / "b c.png"], tmp_path / "out", unsure=unsure, device="cpu")
    with Image.open(tmp_path / "out" / "b c.png") as mask:
        assert (np.asarray(mask) == np.where(highest < unsure, 255, plain.mask(pixels))).all()
    share = 100 * (highest < unsure).mean()
    assert f"{share:.1f} % of the pixels are 255" in caplog.text and "no temperature" in caplog.text
    with pytest.raises(UserError, match=r"unsure is 1\.5; it takes a number from 0 to 1"):
        predict_files(bundle, [pictures], tmp_path / "more", unsure=1.5)


def test_overlays_take_colours_and_an_opacity(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    image, out = pictures / "sub" / "b c.png", tmp_path / "out"
    colours = {"class 0": "#ff0000", "1": "blue", "class 2": "none"}
    predict_files(bundle, [image], out, overlay=True, opacity=1, colours=colours, device="cpu")
    with Image.open(out / "b c.png") as mask:
        indices = np.asarray(mask)
        assert mask.getpalette()[:9] == [255, 0, 0, 0, 0, 255, 80, 200, 10]  # type: ignore[index]
    with Image.open(image) as opened, Image.open(out / "b c.overlay.png") as overlay:
        colour = np.array([[255, 0, 0], [0, 0, 255], [0, 0, 0]], np.uint8)[indices]
        expected = np.where((indices == 2)[..., None], np.asarray(opened), colour)
        assert (np.asarray(overlay) == expected).all()


def test_what_is_no_opacity_is_refused(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"opacity is 50; it takes a number from 0 to 1\."):
        predict_files(bundle, [pictures], tmp_path / "out", overlay=True, opacity=50)
    with pytest.raises(UserError, match=r"opacity is 0\.5; it takes no value without overlay"):
        predict_files(bundle, [pictures], tmp_path / "out", opacity=0.5)


def test_images_with_an_orientation_are_counted_and_stay_as_stored(
    bundle: Path, pictures: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(blocks(3, 30, 50)[0]).save(pictures / "phone.jpg", exif=exif)
    with caplog.at_level(logging.INFO, "segwright"):
        predict_files(bundle, [pictures], tmp_path / "out", device="cpu")
    said = [record.getMessage() for record in caplog.records if "EXIF" in record.getMessage()]
    assert said == [
        f"1 of 3 images carries an EXIF orientation other than 1 (for example {pictures / 'phone.jpg'}: 6): "
        "read as stored, without turning, and so are the masks"
    ]
    with Image.open(tmp_path / "out" / "phone.png") as mask:
        assert mask.size == (50, 30)


def test_names_that_collide_are_refused(bundle: Path, tmp_path: Path) -> None:
    for name in ("x.jpg", "x.overlay.jpg"):
        Image.fromarray(blocks(1)[0]).save(tmp_path / name)
    with pytest.raises(DataError, match=r"x\.overlay\.png"):
        predict_files(bundle, [tmp_path / "x.jpg", tmp_path / "x.overlay.jpg"], tmp_path / "out", overlay=True)
    assert not (tmp_path / "out").exists()


def test_a_bad_image_does_not_stop_the_others(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    (pictures / "a.jpg").write_bytes(b"\xff\xd8\xff broken")
    with pytest.raises(DataError, match="1 of 2 images"):
        predict_files(bundle, [pictures], tmp_path / "out", device="cpu")
    assert written(tmp_path / "out") == {"sub/b c.png"}


def test_an_output_with_files_is_refused_without_overwrite(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict_files(bundle, [pictures], out, device="cpu")
    with pytest.raises(OutputExistsError):
        predict_files(bundle, [pictures], out, device="cpu")
    predict_files(bundle, [pictures], out, device="cpu", overwrite=True)


def test_images_are_never_replaced_by_their_masks(bundle: Path, pictures: Path) -> None:
    before = (pictures / "sub" / "b c.png").read_bytes()
    with pytest.raises(OutputExistsError, match="also the input"):
        predict_files(bundle, [pictures], pictures, device="cpu", overwrite=True)
    assert (pictures / "sub" / "b c.png").read_bytes() == before


def test_a_single_image_is_not_replaced_by_its_mask(bundle: Path, pictures: Path) -> None:
    tifffile.imwrite(pictures / "x.tif", blocks(1)[0], photometric="rgb")
    before = (pictures / "x.tif").read_bytes()
    with pytest.raises(DataError, match="1 of 1 images"):
        predict_files(bundle, [pictures / "x.tif"], pictures, device="cpu", overwrite=True)
    assert (pictures / "x.tif").read_bytes() == before
    predict_files(bundle, [pictures / "a.jpg"], pictures, device="cpu", overwrite=True)
    assert (pictures / "a.png").is_file()


def test_a_mask_replaces_an_older_one_under_the_other_name(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    out, name = tmp_path / "out", str(pictures / "x.tif")
    place = [(33922, "d", 6, (0.0, 0.0, 0.0, 4e5, 5e6, 0.0), True)]
    for tags, expected in ((place, "x.tif"), ([], "x.png"), (place, "x.tif")):
        tifffile.imwrite(name, blocks(1)[0], photometric="rgb", extratags=tags)
        predict_files(bundle, [name], out, overlay=True, device="cpu", overwrite=True)
        assert written(out) == {expected, "x.overlay.png"}


def test_an_output_below_the_input_is_not_read_again(bundle: Path, pictures: Path) -> None:
    out = pictures / "masks"
    predict_files(bundle, [pictures], out, device="cpu")
    predict_files(bundle, [pictures], out, device="cpu", overwrite=True)
    assert written(out) == {"a.png", "sub/b c.png"}


def test_all_images_of_a_folder_are_read_or_told(
    bundle: Path, pictures: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("c.jfif", "d.JPE"):
        (pictures / name).write_bytes((pictures / "a.jpg").read_bytes())
    for name in ("e.heic", "f.HEIC", "g.avif"):
        (pictures / name).write_bytes(b"\0\0\0\x18ftypheic")
    with caplog.at_level("WARNING", "segwright"):
        predict_files(bundle, [pictures], tmp_path / "out", device="cpu")
    assert written(tmp_path / "out") == {"a.png", "c.png", "d.png", "sub/b c.png"}
    assert "3 files are not read: .heic (2), .avif (1)" in caplog.text


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 4), (0, 8, 3)])
def test_an_image_that_does_not_fit_the_model_is_refused(bundle: Path, shape: tuple[int, ...]) -> None:
    model: Model = load(bundle, "cpu")
    with pytest.raises(DataError, match=r"\[height, width, 3\] of uint8"):
        model.mask(np.zeros(shape, np.uint8))
    with pytest.raises(DataError, match="float64"):
        model.mask(np.zeros((8, 8, 3)))  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for a device that is not there")
def test_a_device_that_is_not_there_is_one_clear_error(bundle: Path) -> None:
    with pytest.raises(UserError, match="cuda is not usable here"):
        load(bundle, "cuda")
