"""The Hugging Face hub: why it does not give what is asked for, in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from music.errors import InputError


class UnreachableHubError(InputError):
    """Something is not here, and the hub cannot be reached; who knows shipped models names them."""


@contextmanager
def hub_errors(name: str, absent: str, kind: str = "model") -> Iterator[None]:
    """Turn what a download raises into one line for the user.

    Parameters
    ----------
    name
        Name that was asked for.
    absent
        What is not here, for the message, such as "there is no folder a/b".
    kind
        What it would be on the hub.

    Raises
    ------
    UnreachableHubError
        If the hub cannot be reached, whatever of the network, a proxy or its settings is to blame.
    InputError
        If the hub refuses, or `name` is no id of its.
    """
    import httpx
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    try:
        yield
    except InputError:
        raise
    except HFValidationError as error:
        raise InputError(f"{absent}, and that is no id of a {kind} on the hub (ORGANISATION/NAME)") from error
    except GatedRepoError as error:
        raise InputError(
            f"{absent}, and the hub gives {name} only to who accepts its conditions: do so at {_page(name, kind)}, "
            "then run hf auth login"
        ) from error
    except RepositoryNotFoundError as error:
        raise InputError(
            f"{absent}, and the hub shows no such {kind}: check the name, or run hf auth login if it is private"
        ) from error
    except (LocalEntryNotFoundError, ConnectionError, TimeoutError, httpx.TransportError) as error:
        offline = isinstance(error.__cause__, OfflineModeIsEnabled)
        reason = "HF_HUB_OFFLINE is set" if offline else _reason(error.__cause__ or error)
        raise UnreachableHubError(
            f"{absent}, none in the local hub cache, and the hub cannot be reached ({reason}): go online once, or name "
            "what is here"
        ) from error
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        # a proxy that needs a library, an address that is none, a key that no header can hold
        raise UnreachableHubError(
            f"{absent}, and the hub cannot be asked ({_reason(error)}): see the environment variables all_proxy, "
            "https_proxy, no_proxy, HF_ENDPOINT and HF_TOKEN"
        ) from error
    except (httpx.HTTPError, OSError) as error:
        raise InputError(f"{absent}, and the hub does not give it: {_reason(error)}") from error


def _page(name: str, kind: str) -> str:
    return f"https://huggingface.co/{'datasets/' if kind == 'data set' else ''}{name}"


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
