import pytest

from lc2_backup_dagster.applications.registry import APPLICATIONS, application_of
from lc2_backup_dagster.model.application import Application
from lc2_backup_dagster.model.errors import ConfigurationError
from lc2_backup_dagster.model.globs import GlobSet


@pytest.mark.parametrize("application", APPLICATIONS.values(), ids=list(APPLICATIONS))
def test_every_application_implements_the_port(application):
    assert isinstance(application, Application)
    assert application_of(application.kind) is application
    assert application.files_word.isidentifier()
    GlobSet(
        [
            *application.generated_globs,
            *application.default_excludes,
            *application.default_includes,
            *application.forbidden_globs,
            *application.configuration_excludes,
        ]
    )


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(ConfigurationError, match="'lotus' is not an application.*one of bloomreach, drupal, liferay"):
        application_of("lotus")
