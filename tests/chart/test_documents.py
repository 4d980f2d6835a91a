"""What is made from other files is up to date, and says everything."""

import re
import unittest

import documents
import yaml
from chart import CHART, ROOT, expect


class Documents(unittest.TestCase):
    def test_every_value_is_described(self):
        self.assertEqual(documents.undescribed_values(), [])

    def test_the_table_of_values_is_up_to_date(self):
        expect(CHART / "README.md", documents.readme())

    def test_the_schema_describes_what_the_values_are(self):
        expect(CHART / "values.schema.json", documents.schema())

    def test_the_rules_without_kubernetes_are_those_of_the_chart(self):
        expect(ROOT / "config/prometheus/rules.yaml", documents.rules())

    def test_the_chart_brings_the_version_that_is_built_here(self):
        built = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
        self.assertEqual(yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"], built)


if __name__ == "__main__":
    unittest.main()
