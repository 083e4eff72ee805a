from pathlib import Path

import pytest

from rsadapt.geo.location import Remote, Subdataset, gdal_name, is_networked, located

ADDRESSES = {
    "https://host/a/s1.tif": "/vsicurl/https://host/a/s1.tif",
    "HTTP://host/s1.tif?sig=a/b.c": "/vsicurl/http://host/s1.tif?sig=a/b.c",
    "s3://bucket/a/s1.tif": "/vsis3/bucket/a/s1.tif",
    "gs://bucket/s1.tif": "/vsigs/bucket/s1.tif",
    "az://container/s1.tif": "/vsiaz/container/s1.tif",
    "/vsizip//vsicurl/https://host/a.zip/s1.tif": "/vsizip//vsicurl/https://host/a.zip/s1.tif",
}


@pytest.mark.parametrize("text", ADDRESSES)
def test_address_reads_as_written_and_opens_by_gdals_name(text):
    found = located(text, Path("/root"))
    assert isinstance(found, Remote)
    assert str(found) == text
    assert gdal_name(found) == ADDRESSES[text]
    assert (found.name, found.stem, found.suffix) == ("s1.tif", "s1", ".tif")
    assert is_networked(found)


def test_parent_of_an_address_is_its_folder():
    assert str(located("s3://bucket/a/s1.tif").parent) == "s3://bucket/a"


def test_archive_of_this_machine_is_not_on_the_network():
    assert not is_networked(located("/vsizip/a.zip/s1.tif"))


@pytest.mark.parametrize("text", ["a/s1.tif", "a:b.tif", "T32:s1.tif", "http:/s1.tif", "s3.tif"])
def test_all_else_is_a_path(text):
    assert located(text, Path("root")) == Path("root") / text
    assert located(Path(text), Path("root")) == Path("root") / text


@pytest.mark.parametrize(
    ("text", "name", "stem"),
    [
        ('NETCDF:"/r/a.nc":red', "a.nc:red", "a_red"),
        ("NETCDF:/r/a.nc:red", "a.nc:red", "a_red"),
        ('HDF5:"/r/a.h5"://group/red', "a.h5:group_red", "a_group_red"),
        ('HDF4_EOS:EOS_GRID:"/r/a.hdf":grid:red', "a.hdf:grid_red", "a_grid_red"),
        ("GTIFF_DIR:2:/r/a.tif", "a.tif:2", "a_2"),
        ("SENTINEL2_L2A:/r/MTD.xml:10m:EPSG_32632", "MTD.xml:10m_EPSG_32632", "MTD_10m_EPSG_32632"),
    ],
)
def test_data_set_in_a_file_is_named_as_gdal_names_it(text, name, stem):
    found = located(text.replace("/r/", ""), Path("/r"))
    assert isinstance(found, Subdataset)
    assert str(found) == gdal_name(found) == text
    assert (found.name, found.stem, found.parent) == (name, stem, Path("/r"))


def test_data_set_in_a_file_on_a_server():
    found = located('NETCDF:"https://host/a.nc":red')
    assert gdal_name(found) == 'NETCDF:"/vsicurl/https://host/a.nc":red'
    assert is_networked(found)
