"""API keys: made on a page, shown once, taken for their user's word, revoked."""

import hashlib
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from driving import first_texts, submit

from philately.domain.keys import MAX_KEYS, KeyRefused, make_key, revoke_key, user_with
from philately.models import ApiKey, User


@pytest.fixture
def ann(participant) -> User:
    return participant.user


def shown_key(answer) -> str:
    return re.search(r'id="new-key">([^<]+)<', answer.content.decode())[1]


def test_a_key_is_its_users_and_is_kept_as_a_hash_alone(ann):
    text = make_key(ann, "laptop")

    key = ApiKey.objects.get()
    secret = text.removeprefix(f"philately_{key.prefix}_")
    assert user_with(text) == ann
    assert len(secret) >= 43  # 32 bytes in Base64
    assert key.digest == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in "".join(str(value) for value in ApiKey.objects.values_list().get())


@pytest.mark.parametrize("spoil", [str.upper, lambda text: text[:-1], lambda text: text + "x", lambda text: text[10:]])
def test_anything_else_is_nobodys(ann, spoil):
    assert user_with(spoil(make_key(ann, "laptop"))) is None


@pytest.mark.parametrize("text", ["", "philately", "philately__", "philately_x_", "\0", "philately_\0_x", "ü_ü_ü"])
def test_nonsense_is_nobodys(db, text):
    assert user_with(text) is None


def test_a_revoked_key_and_one_of_a_user_who_may_not_log_in_are_nobodys(ann, join_as):
    text = make_key(ann, "laptop")
    ann.is_active = False
    ann.save()
    assert user_with(text) is None

    ann.is_active = True
    ann.save()
    key = ApiKey.objects.get()
    assert not revoke_key(join_as("bob").user, key.pk)
    assert user_with(text) == ann
    assert revoke_key(ann, key.pk)
    assert user_with(text) is None


def test_its_last_use_is_noted_to_the_minute(ann, django_assert_num_queries):
    text = make_key(ann, "laptop")
    user_with(text)
    first = ApiKey.objects.get().used_at
    user_with(text)
    assert ApiKey.objects.get().used_at == first

    ApiKey.objects.update(used_at=timezone.now() - timedelta(minutes=2))
    user_with(text)

    assert ApiKey.objects.get().used_at > first


def test_a_user_has_so_many_keys_and_no_more(ann):
    for number in range(MAX_KEYS):
        make_key(ann, f"key {number}")

    with pytest.raises(KeyRefused, match="limit"):
        make_key(ann, "one more")


class TestPage:
    def test_a_new_key_is_shown_once(self, client, ann):
        client.force_login(ann)

        text = shown_key(client.post(reverse("keys"), {"name": "laptop"}))

        assert user_with(text) == ann
        later = client.get(reverse("keys")).content.decode()
        assert "laptop" in later and text not in later

    def test_it_is_revoked_there_by_its_user_alone(self, client, ann, join_as):
        text = make_key(ann, "laptop")
        address = reverse("key-revoke", args=[ApiKey.objects.get().pk])
        client.force_login(join_as("bob").user)
        assert client.post(address).status_code == 404
        client.force_login(ann)
        assert client.get(address).status_code == 405

        client.post(address)

        assert user_with(text) is None
        assert "laptop" not in client.get(reverse("keys")).content.decode()

    def test_it_needs_a_session_which_a_key_is_not(self, season, ann):
        key = make_key(ann, "laptop")

        answer = Client().get(reverse("keys"), headers={"Authorization": f"Bearer {key}"})

        assert answer.status_code == 302

    def test_a_key_needs_a_name(self, client, ann):
        client.force_login(ann)

        assert "Please name the key" in client.post(reverse("keys"), {"name": " "}).content.decode()
        assert not ApiKey.objects.exists()


def test_a_programme_reads_its_users_batches_and_nobody_elses(season, ann, participant, join_as):
    batch = submit(participant, first_texts())
    address = reverse("batch-csv", args=[batch.pk])
    mine, other = make_key(ann, "laptop"), make_key(join_as("bob").user, "laptop")

    def status(key: str) -> int:
        return Client().get(address, headers={"Authorization": f"Bearer {key}"}).status_code

    assert (status(mine), status(other), status("wrong")) == (200, 404, 401)
