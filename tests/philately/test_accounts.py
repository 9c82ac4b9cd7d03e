"""Signing up, in and out."""

import pytest
from django.urls import reverse

from philately.models import User

pytestmark = pytest.mark.django_db
PASSWORD = "a-long-enough-one"


def sign_up(client, **changes):
    given = {"username": "ann", "password1": PASSWORD, "password2": PASSWORD, **changes}
    return client.post(reverse("signup"), given)


def test_signing_up_logs_in(client):
    answer = sign_up(client)

    assert answer.url == reverse("home")
    assert client.session["_auth_user_id"] == str(User.objects.get(username="ann").pk)


def test_signing_up_leads_back_to_where_the_visitor_was_going(client):
    assert sign_up(client, next="/batches/").url == "/batches/"


def test_signing_up_leads_nowhere_else(client):
    assert sign_up(client, next="https://elsewhere.example/").url == reverse("home")


def test_a_weak_password_is_refused_at_its_field(client):
    answer = sign_up(client, password1="1234", password2="1234")

    assert answer.status_code == 200
    assert "too short" in answer.content.decode()
    assert not User.objects.exists()


def test_logging_in_and_out(client):
    User.objects.create_user("ann", password=PASSWORD)

    refused = client.post(reverse("login"), {"username": "ann", "password": "wrong"})
    accepted = client.post(reverse("login"), {"username": "ann", "password": PASSWORD, "next": "/batches/"})
    left = client.post(reverse("logout"))

    assert "correct username and password" in refused.content.decode()
    assert accepted.url == "/batches/"
    assert left.url == reverse("home")
    assert "_auth_user_id" not in client.session


def test_logging_out_needs_a_post(client):
    assert client.get(reverse("logout")).status_code == 405
