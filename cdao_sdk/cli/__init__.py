from cdao_sdk.cli.app import main as main
